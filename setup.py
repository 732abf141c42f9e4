"""Where the packages lie: `models` and `results` stand at the top of a checkout and inside the package in a wheel; so does `tasks`,
which a link (`ropepp_eval/tasks`) shows inside the package in a checkout too, so that it is imported by one name everywhere.

Everything else is in pyproject.toml, which can't say this.
"""

from setuptools import find_namespace_packages, find_packages, setup

OUTSIDE = ("models", "results")

setup(
    packages=[
        *find_packages(include=["ropepp_eval", "ropepp_eval.*"]),
        *(f"ropepp_eval.{name}" for top in OUTSIDE for name in find_namespace_packages(include=[top, f"{top}.*"])),
    ],
    package_dir={"ropepp_eval": "ropepp_eval", **{f"ropepp_eval.{top}": top for top in OUTSIDE}},
    package_data={
        "": ["*.yaml", "*.md", "*.csv", "*.json", "*.safetensors", "py.typed"],
        "ropepp_eval.reports.page": ["assets/*"],
    },
)
