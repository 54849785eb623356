"""`medbench data`: check, prepare, split and download data sets, print their cards, write synthetic twins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from medbench.cli import options, output, plan_text

if TYPE_CHECKING:
    from medbench.data.checks.check import CheckReport
    from medbench.data.layouts.own_columns import OwnColumns
    from medbench.data.load import Missing

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Check, prepare, split and download data sets.")

USUAL_SIZE = 224
"""Input side of nearly all encoders; `--image-size` for the others."""


@app.command()
def check(
    dataset: options.Dataset,
    data_root: options.DataRoot = None,
    split_name: Annotated[
        str | None, typer.Option("--split", help="The split to check; default: the card's default split.")
    ] = None,
    no_images: Annotated[bool, typer.Option("--no-images", help="Do not decode the images.")] = False,
    near: Annotated[
        bool, typer.Option("--near/--no-near", help="Look for near duplicates (images are decoded).")
    ] = True,
    radius: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=128,
            help="Largest number of bits, of 256, in which hashes of near duplicates differ; default: 80.",
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Also write the findings to this HTML file, with the duplicate images.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with status 1 also if there are only warnings.")
    ] = False,
    missing: options.Missing = "stop",
    pairs: Annotated[
        bool | None,
        typer.Option(
            "--pairs/--labels",
            help="Read a table as image-text pairs, or as labels; default: as pairs if it has no label column.",
        ),
    ] = None,
    list_: Annotated[
        Path | None, typer.Option("--list", help="Also write all images with findings to this CSV file.")
    ] = None,
    allow_outside: options.AllowOutside = False,
    label: options.Label = None,
    image: options.Image = None,
    group: options.Group = None,
    split_column: options.SplitColumn = None,
    task: options.TaskKind = None,
    metric: options.Metric = None,
    as_json: options.Json = False,
) -> None:
    """Check a local copy against its card.

    Reports class counts, missing and unreadable images, exact and near duplicates, and groups that are in several
    splits. The exit status is 1 if there are errors. For image-text pairs it also counts texts, categories and
    equal texts.
    """
    from medbench.data.checks.check import check as examine
    from medbench.data.checks.check import write_list
    from medbench.data.checks.near_duplicates import RADIUS

    bits = (RADIUS if radius is None else radius) if near else None
    images = not no_images
    report = examine(
        dataset,
        data_root,
        allow_outside=allow_outside,
        images=images,
        split_name=split_name,
        near_radius=bits,
        missing=_missing(missing),
        pairs=pairs,
        columns=own_columns(image, label, group, split_column, task, metric),
    )
    if html is not None:
        from medbench.data.checks.page import write_page

        write_page(report, html)
        output.note(f"page: {html}")
    if not as_json:
        plan_text.say_taken(report.name, report.taken, output.write)
    _write_report(report, as_json)
    if list_ is not None:
        write_list(report, list_)
        output.note(f"list: {list_}")
    if report.failed or (strict and not report.clean):
        raise typer.Exit(1)


def own_columns(
    image: str | None,
    label: str | None,
    group: str | None,
    split_column: str | None,
    task: str | None,
    metric: str | None,
) -> OwnColumns | None:
    """Return what the user says of the columns of own data; None: nothing."""
    from medbench import metrics
    from medbench.data.layouts import own_columns as columns

    if metric is not None:
        metrics.get(metric, task)
    return columns.own_columns(image, label, group, split_column, task, metric)


def _missing(value: str) -> Missing:
    from medbench.data.load import Missing
    from medbench.errors import unknown

    known: tuple[Missing, ...] = get_args(Missing)
    found = next((one for one in known if one == value), None)
    if found is None:
        raise unknown("value of --missing", value, known)
    return found


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
        return "no problems were found" if report.taken.lines else "matches the card"
    kinds = [finding.severity for finding in report.findings]
    return ", ".join(f"{kinds.count(kind)} {kind}(s)" for kind in dict.fromkeys(kinds))


@app.command()
def prepare(
    dataset: options.Dataset,
    protocol: Annotated[str, typer.Option(help="Protocol whose preprocessing is used.")] = "linear-frozen",
    preset: Annotated[str, typer.Option(help="Preset of the protocol.")] = "paper",
    image_size: Annotated[
        int | None, typer.Option(help="Input size in pixels; default: the protocol's, else 224.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Number of decoding threads; default: one per CPU core.")] = None,
    data_root: options.DataRoot = None,
    allow_outside: options.AllowOutside = False,
) -> None:
    """Decode and resize all images once.

    `medbench run` does this itself if it is needed. An interrupted preparation resumes.
    """
    from medbench import cards
    from medbench.cards.resolve import dataset_entry, resolve
    from medbench.data.load import load_dataset
    from medbench.data.prepared import store

    settings = resolve(cards.find_protocol(protocol), preset, dataset_entry(dataset), {})
    data = load_dataset(dataset, data_root, allow_outside=allow_outside)
    size = image_size or settings.image_size or USUAL_SIZE
    rule = store.rule_for(data, settings, size)
    prepared = store.prepare(data, rule, workers=workers)
    n, side = prepared.images.shape[:2]
    output.write(f"{data.card.name}: {n:,} images at {side} x {side}, for inputs of {size}")
    output.write(f"store: {prepared.path}")
    for name, reason in prepared.unreadable.items():
        output.write(f"unreadable: {name}: {reason}")
    if prepared.unreadable:
        output.note(f"{len(prepared.unreadable)} images cannot be read; to run without them: --unreadable leave-out")
        raise typer.Exit(1)


@app.command()
def synth(
    dataset: Annotated[str, typer.Argument(metavar="D", help="A data set, or its card file.")],
    n: Annotated[
        int | None, typer.Option("--n", help="Number of images; default: 60, or more for many classes.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed of the images.")] = 0,
    to: Annotated[Path | None, typer.Option("--to", help="Output folder; default: <data set>-synthetic.")] = None,
    out: options.OutTo = None,
) -> None:
    """Write a small synthetic twin of a data set.

    The twin has the official layout, so that every command can be tried without the data.
    """
    from medbench import cards
    from medbench.data.twins.twin import synthesise

    found = cards.find_dataset(dataset)
    place = synthesise(found, to or out or Path(f"{found.name}-synthetic"), n, seed)
    output.write(
        f"synthetic twin of {found.name}: {place} (made-up images: results on them say nothing about medicine)"
    )
    output.note(f"check it: medbench data check {dataset} --data-root {place}")


@app.command()
def split(
    dataset: options.Dataset,
    name: Annotated[
        str,
        typer.Option(
            help="Split rule: one of the card, kfold, fewshot-K, …; RULE@N uses seed N; default: the "
            "card's default split."
        ),
    ] = "",
    seed: Annotated[int | None, typer.Option(help="Random seed; default: the seed of the rule.")] = None,
    folds: Annotated[int | None, typer.Option(min=3, help="kfold: number of folds.")] = None,
    fold: Annotated[int | None, typer.Option(min=0, help="kfold: number of the test fold, from 0.")] = None,
    shots: Annotated[int | None, typer.Option(min=1, help="fewshot: number of training samples of each class.")] = None,
    near: Annotated[
        bool, typer.Option("--near", help="grouped, kfold: keep near duplicates in the same split.")
    ] = False,
    to: Annotated[Path | None, typer.Option("--to", help="Output file; default: <data set>-<rule>.csv.")] = None,
    out: options.OutTo = None,
    data_root: options.DataRoot = None,
    allow_outside: options.AllowOutside = False,
) -> None:
    """Write a split file (CSV: id, split).

    Also prints the number of images of each class in train, val and test.
    """
    from medbench.data.splits.draw_split import written_split

    asked = {"folds": folds, "fold": fold, "shots": shots, "seed": seed}
    given = {key: value for key, value in asked.items() if value is not None}
    card, rows, path = written_split(dataset, name, given, to or out, data_root, allow_outside, near=near)
    output.write_rows(rows, list(rows[0]), title=f"{card.name}: images per split")
    output.write(f"split file: {path}")
    output.note(f"use it: medbench run --dataset {dataset} --set split={path} …")


@app.command()
def card(
    dataset: options.Dataset,
    data_root: options.DataRoot = None,
    label: options.Label = None,
    image: options.Image = None,
    group: options.Group = None,
    split_column: options.SplitColumn = None,
    task: options.TaskKind = None,
    metric: options.Metric = None,
) -> None:
    """Print a data set card as YAML.

    For your own data, this is the card that medbench infers; you can edit it.
    """
    from medbench import cards
    from medbench.cards.find import dataset_kind
    from medbench.data.layouts.own.card import card_yaml, with_tables
    from medbench.data.layouts.own_columns import negative_first

    own = own_columns(image, label, group, split_column, task, metric)
    if dataset_kind(dataset) == "card" and own is None:
        found = cards.find_dataset(dataset)
    else:
        from medbench import metrics
        from medbench.data.load import find_source

        source = find_source(dataset, data_root, negative_first(own))
        found = with_tables(source.card, source.root, source.tables)
        plan_text.say_taken(found.name, source.taken)
        metrics.get(found.metric, found.task)
    output.write(card_yaml(found).rstrip())


@app.command()
def download(
    dataset: Annotated[str, typer.Argument(metavar="D", help="A data set.")], data_root: options.DataRoot = None
) -> None:
    """Download a data set, or say how to get it.

    An interrupted download resumes. If a form or an account is needed, the steps are printed instead.
    """
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
        output.write(f"{found.name}: in {place}; downloaded: {', '.join(made) or 'nothing, all files are there'}")
        output.note(f"check it: medbench data check {found.name}")
        return
    if place and place.is_dir():
        output.write(f"{found.name}: already in {place}; check it: medbench data check {found.name}")
        return
    folder = paths.data_folder(found.name)
    if not place and found.access.files:
        raise DataError(
            f"no data folder was given for {found.name}",
            f"set MEDBENCH_DATA (the folder that gets {folder}/), or pass --data-root",
        )
    steps = found.access.steps.strip() or found.access.url or "its card does not say where to get it"
    where = str(place) if place else f"the folder {folder} in MEDBENCH_DATA (not set yet)"
    raise DataError(
        f"medbench cannot download {found.name} (access: {found.access.kind}, licence: {found.licence or '?'})",
        f"{steps}\nPut it into {where}, then run: medbench data check {found.name}",
    )
