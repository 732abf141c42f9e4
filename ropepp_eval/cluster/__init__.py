"""Rows answered by workers on all devices of this machine, or of a cluster, through Ray. The plan, the checks and the store are the
run's own (`runs`); Ray is imported when a run begins on it, and only in this room."""

from ropepp_eval.cluster.executor import RayExecutor

__all__ = ["RayExecutor"]
