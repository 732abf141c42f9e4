"""Walks of three users, as they would type them: `researcher.py`, `lm_eval_user.py`, `engineer.py`, each step a command and what must be seen."""
