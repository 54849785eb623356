"""`medbench data`: look at a copy on disk, split it, prepare it, make a twin of it, learn how to get it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medbench.cli import output
from medbench.data.draw_split import written_split

if TYPE_CHECKING:
    from medbench.data.checks.check import CheckReport

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Check, prepare, split and get data sets.")

USUAL_SIZE = 224
"""Input side of nearly all encoders; `--image-size` for the others."""


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
    from medbench.data.checks.check import check as examine
    from medbench.data.checks.near_duplicates import RADIUS

    bits = (RADIUS if radius is None else radius) if near else None
    images = not no_images
    report = examine(
        dataset, data_root, allow_outside=allow_outside, images=images, split_name=split_name, near_radius=bits
    )
    if html is not None:
        from medbench.data.checks.page import write_page

        write_page(report, html)
        output.note(f"page: {html}")
    _write_report(report, as_json)
    if strict and not report.clean:
        raise typer.Exit(1)


def _write_report(report: CheckReport, as_json: bool) -> None:
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


def _verdict(report: CheckReport) -> str:
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
    from medbench.cards.resolve import dataset_entry, resolve
    from medbench.data.images.square import rule_of
    from medbench.data.load import load_dataset
    from medbench.data.prepared import store

    settings = resolve(cards.find_protocol(protocol), preset, dataset_entry(dataset), {})
    data = load_dataset(dataset, data_root, allow_outside=allow_outside)
    size = image_size or settings.image_size or USUAL_SIZE
    rule = rule_of(settings, size, data.card.channels)
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
    from medbench.data.twins.twin import synthesise

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


@app.command()
def card(
    dataset: Name,
    data_root: Root = None,
) -> None:
    """Print a card as YAML: for data of your own, what medbench made of it, ready to be edited."""
    from medbench import cards
    from medbench.cards.find import dataset_kind
    from medbench.data.layouts.infer_card import card_yaml

    if dataset_kind(dataset) == "card":
        found = cards.find_dataset(dataset)
    else:
        from medbench.data.load import find_source

        found = find_source(dataset, data_root).card
    output.write(card_yaml(found).rstrip())


@app.command()
def download(
    dataset: Annotated[str, typer.Argument(metavar="D", help="A data set.")],
    data_root: Root = None,
) -> None:
    """Fetch a data set where that is allowed (a broken download goes on), else say how to get it."""
    from medbench import cards
    from medbench.errors import DataError
    from medbench.storage import paths

    found = cards.find_dataset(dataset)
    if found.toy:
        from medbench.data.layouts import toy

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
