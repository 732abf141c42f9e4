"""Rows under their former name: scorers and builders written against it go on working. Their place is `ropepp_eval.rows.row`."""

from ropepp_eval.rows.row import Row, RowRequest

__all__ = ["Row", "RowRequest"]
