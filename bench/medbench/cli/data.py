"""`medbench data`: look at a copy on disk, split it, prepare it, make a twin of it, learn how to get it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medbench.cli import output

if TYPE_CHECKING:
    import pandas as pd

    from medbench.cards import DatasetCard
    from medbench.data.check import Report

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Check, prepare, split and get data sets.")

USUAL_SIZE = 224
"""Input side of nearly all encoders; `--image-size` for the others."""

TAKEN_BY = {"folds": ("kfold",), "fold": ("kfold",), "shots": ("fewshot",)}
"""Methods to which a number of `medbench data split` means anything; others (the seed) may be given with all."""

GROUPED = ("grouped", "kfold")
"""Methods that draw whole groups."""

Name = Annotated[str, typer.Argument(metavar="D", help="A data set, its card file, a labels CSV or a folder.")]
Root = Annotated[Path | None, typer.Option("--data-root", help="Where the data lie (else MEDBENCH_DATA).")]
Outside = Annotated[bool, typer.Option("--allow-outside", help="Let image paths leave the data folder.")]


@app.command()
def check(
    dataset: Name,
    data_root: Root = None,
    split_name: Annotated[str | None, typer.Option("--split", help="The split to count and look across.")] = None,
    no_images: Annotated[bool, typer.Option("--no-images", help="Do not decode the images.")] = False,
    near: Annotated[bool, typer.Option("--near/--no-near", help="Look for near duplicates, if decoding.")] = True,
    radius: Annotated[
        int | None, typer.Option(min=0, max=128, help="Bits of 256 in which near duplicates may differ; default: 80.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write the findings to this page, duplicates as pictures.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 if anything but notes is found.")] = False,
    allow_outside: Outside = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Hold a copy on disk against its card: counts, missing, unreadable and repeated images, groups across splits."""
    from medbench.data.check import check as examine
    from medbench.data.near import RADIUS

    bits = (RADIUS if radius is None else radius) if near else None
    images = not no_images
    report = examine(
        dataset, data_root, allow_outside=allow_outside, images=images, split_name=split_name, near_radius=bits
    )
    if html is not None:
        from medbench.data.page import write_page

        write_page(report, html)
        output.note(f"page: {html}")
    _write_report(report, as_json)
    if strict and not report.clean:
        raise typer.Exit(1)


def _write_report(report: Report, as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        output.write_json(asdict(report))
        return
    if report.rows:
        rows = [dict(zip(report.columns, row, strict=True)) for row in report.rows]
        output.write_rows(rows, report.columns, title=f"{report.name} in {report.root}, split {report.split}")
    for finding in report.findings:
        output.write(f"{finding.severity}: {finding.kind}: {finding.text}")
    output.note(f"{report.name} in {report.root}: {_verdict(report)}")


def _verdict(report: Report) -> str:
    if not report.findings:
        return "as the card says"
    kinds = [finding.severity for finding in report.findings]
    return ", ".join(f"{kinds.count(kind)} {kind}(s)" for kind in dict.fromkeys(kinds))


@app.command()
def prepare(
    dataset: Name,
    protocol: Annotated[str, typer.Option(help="The protocol whose rule is followed.")] = "linear-frozen",
    preset: Annotated[str, typer.Option(help="paper, wacv-code or fixed.")] = "paper",
    image_size: Annotated[
        int | None, typer.Option(help="Side of the input in pixels; default: the protocol's.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes.")] = None,
    data_root: Root = None,
    allow_outside: Outside = False,
) -> None:
    """Decode and resize all images once, as `run` would do it first; a broken preparation goes on where it stopped."""
    from medbench import cards
    from medbench.cards.resolving import resolve
    from medbench.data import load_dataset, store

    settings = resolve(cards.find_protocol(protocol), preset, Path(dataset).stem, {})
    data = load_dataset(dataset, data_root, allow_outside=allow_outside)
    size = image_size or settings.image_size or USUAL_SIZE
    rule = store.rule_of(settings, size, data.card.channels)
    prepared = store.prepare(data, rule, workers=workers)
    n, side = prepared.images.shape[:2]
    output.write(f"{data.card.name}: {n:,} images at {side} x {side}, for inputs of {size}")
    output.write(f"store: {prepared.path}")
    for name, reason in prepared.unreadable.items():
        output.write(f"unreadable: {name}: {reason}")
    if prepared.unreadable:
        output.note(
            f"{len(prepared.unreadable)} images cannot be read; run with --unreadable leave-out to go without them"
        )
        raise typer.Exit(1)


@app.command()
def synth(
    dataset: Annotated[str, typer.Argument(metavar="D", help="A data set, or its card file.")],
    n: Annotated[int | None, typer.Option("--n", help="Images; default: 60, or what the classes need.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed draws other images.")] = 0,
    out: Annotated[Path | None, typer.Option(help="The folder; default: <data set>-synthetic here.")] = None,
) -> None:
    """Write a small synthetic twin in the official layout, to try everything without the data."""
    from medbench import cards
    from medbench.data.synth import synthesise

    found = cards.find_dataset(dataset)
    place = synthesise(found, out or Path(f"{found.name}-synthetic"), n, seed)
    output.write(f"synthetic twin of {found.name}: {place} (made up: no result about medicine)")
    output.note(f"look at it: medbench data check {dataset} --data-root {place}")


@app.command()
def split(
    dataset: Name,
    name: Annotated[
        str, typer.Option(help="A rule of the card, a method such as kfold, or either @N; default: the card's.")
    ] = "",
    seed: Annotated[int | None, typer.Option(help="Another seed than the rule's.")] = None,
    folds: Annotated[int | None, typer.Option(min=3, help="kfold: number of parts.")] = None,
    fold: Annotated[int | None, typer.Option(min=0, help="kfold: the part that is test, from 0.")] = None,
    shots: Annotated[int | None, typer.Option(min=1, help="fewshot: samples of each class.")] = None,
    near: Annotated[bool, typer.Option("--near", help="grouped, kfold: near duplicates join groups.")] = False,
    out: Annotated[Path | None, typer.Option(help="The file; default: <data set>-<rule>.csv here.")] = None,
    data_root: Root = None,
    allow_outside: Outside = False,
) -> None:
    """Write a split file (CSV: id, split) and count what is in it."""
    asked = {"folds": folds, "fold": fold, "shots": shots, "seed": seed}
    given = {key: value for key, value in asked.items() if value is not None}
    card, rows, path = written_split(dataset, name, given, out, data_root, allow_outside, near=near)
    output.write_rows(rows, list(rows[0]), title=f"{card.name}: images per split")
    output.write(f"split file: {path}")
    output.note(f"use it: medbench run --dataset {dataset} --set split={path} …")


def written_split(
    dataset: str,
    name: str,
    given: dict[str, int],
    out: Path | None,
    root: Path | None,
    allow_outside: bool,
    *,
    near: bool = False,
) -> tuple[DatasetCard, list[dict[str, Any]], Path]:
    """Draw a split, write it and return (card, images per split and class, file).

    Raises:
        CardError: The card has no such rule and medbench no such method, or the rule has no such number, or no groups.
        DataError: The data are not there, or too few for the split.
        OutputError: The file cannot be written.
    """
    from medbench.data.dataset import find_source
    from medbench.data.read import read_samples
    from medbench.data.split import data_digest, make_split, write_split

    source = find_source(dataset, root)
    card, rule = _with_rule(source.card, name or source.card.splits.default, given)
    samples = read_samples(card, source.root, allow_outside, source.tables)
    drawn_from = _near_grouped(card, rule, source.root, samples) if near else samples
    assigned = make_split(card, drawn_from, rule)
    told = "".join(f"-{'' if key == 'seed' else key}{value}" for key, value in given.items())
    path = out or Path(f"{card.name}-{rule}{told}{'-near' if near else ''}.csv")
    write_split(path, samples["id"].tolist(), assigned, data_digest(samples))
    return card, _counts(card, drawn_from, assigned), path


def _near_grouped(card: DatasetCard, rule: str, root: Path, samples: pd.DataFrame) -> pd.DataFrame:
    """Return the samples with groups joined that hold near duplicates."""
    from medbench.data.near import near_groups
    from medbench.errors import CardError

    method = card.splits.rules[rule].method
    if method not in GROUPED:
        hint = f"--near is for {', '.join(GROUPED)}"
        raise CardError(f"the split rule '{rule}' ({method}) does not keep groups whole and takes no --near", hint)
    return samples.assign(group=near_groups(card, root, samples))


def _with_rule(card: DatasetCard, name: str, given: dict[str, int]) -> tuple[DatasetCard, str]:
    """Return the card with the rule called `name`, its own or one of that method, with the numbers asked for."""
    from medbench.cards.dataset import METHODS
    from medbench.data.numbered import number_field, with_rule
    from medbench.errors import CardError

    card = with_rule(card, name)
    rule = card.splits.rules[name]
    method = rule.method
    if "@" in name and (twice := number_field(rule)) in given:
        raise CardError(f"'{name}' and --{twice} both tell the {twice}", f"leave out @N or --{twice}")
    for key in given:
        if method not in (methods := TAKEN_BY.get(key, METHODS)):
            raise CardError(
                f"the split rule '{name}' ({method}) takes no --{key}", f"--{key} is for {', '.join(methods)}"
            )
    rules = {**card.splits.rules, name: rule.model_copy(update=given)}
    return card.model_copy(update={"splits": card.splits.model_copy(update={"rules": rules})}), name


def _counts(card: DatasetCard, samples: pd.DataFrame, assigned: Any) -> list[dict[str, Any]]:
    from medbench.data.dataset import targets_of

    targets = targets_of(samples, card)
    grouped = bool((samples["group"] != samples["id"]).any())
    rows: list[dict[str, Any]] = []
    for part in ("train", "val", "test"):
        there = assigned == part
        row: dict[str, Any] = {"split": part, "images": int(there.sum())}
        if grouped:
            row["groups"] = int(samples["group"][there].nunique())
        for i, name in enumerate(card.class_names):
            of_class = targets[there][:, i] if targets.ndim == 2 else targets[there] == i
            row[name] = int(of_class.sum())
        rows.append(row)
    return rows


@app.command()
def card(
    dataset: Name,
    data_root: Root = None,
) -> None:
    """Print a card as YAML: for data of your own, what medbench made of it, ready to be edited."""
    from medbench import cards
    from medbench.cards.find import is_file_name
    from medbench.cards.medmnist import is_medmnist_name
    from medbench.data.own import card_yaml

    if is_file_name(dataset) or is_medmnist_name(dataset) or dataset in cards.names("datasets"):
        found = cards.find_dataset(dataset)
    else:
        from medbench.data.dataset import find_source

        found = find_source(dataset, data_root).card
    output.write(card_yaml(found).rstrip())


@app.command()
def download(
    dataset: Annotated[str, typer.Argument(metavar="D", help="A data set.")],
    data_root: Root = None,
) -> None:
    """Fetch a data set where that is allowed (a broken download goes on), else say how to get it."""
    from medbench import cards, paths
    from medbench.errors import DataError

    found = cards.find_dataset(dataset)
    if found.toy:
        from medbench.data import toy

        output.write(f"{found.name}: drawn into {toy.ensure(found)}")
        return
    place = paths.data_root(found.name, data_root)
    if place and found.access.files:
        from medbench.data.download import download as fetch

        made = fetch(found, place)
        output.write(f"{found.name}: in {place}; fetched now: {', '.join(made) or 'nothing, it was there'}")
        output.note(f"verify it: medbench data check {found.name}")
        return
    if place and place.is_dir():
        output.write(f"{found.name}: there already, in {place}; verify it: medbench data check {found.name}")
        return
    steps = found.access.steps.strip() or found.access.url or "its card does not say where to get it"
    where = str(place) if place else f"the folder {found.name} below MEDBENCH_DATA (which is not set)"
    raise DataError(
        f"medbench does not fetch {found.name} itself (access: {found.access.kind}, licence: {found.licence or '?'})",
        f"{steps}\nIt is expected in {where}. Once it is there: medbench data check {found.name}",
    )
