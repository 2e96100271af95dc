"""`decaf profile`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from decaf.cli.common import json_option, preprocess_option, print_json, print_table, random_weights_option

if TYPE_CHECKING:
    from decaf.engines.profile import LayerTime, Profile, Timing

_NUMBERS = ("ms a picture", "share", "M mult-adds", "GFLOP/s", "of peak", "GB/s", "of memory", "MB param.")


@click.command()
@click.argument("net", metavar="NET")
@click.option("--batch", "batches", metavar="N", type=int, multiple=True, help="Pictures per call.  [default: 1, 32]")
@click.option(
    "--precision", "precisions", metavar="P", multiple=True, help="f32 or bf16.  [default: what the processor has]"
)
@click.option("--layer", "layers", metavar="L", multiple=True, help="Run it up to here.  [default: its outputs]")
@click.option("--runs", metavar="N", type=int, default=10, show_default=True, help="Calls that count.")
@click.option("--threads", metavar="N", type=int, default=0, help="Threads per call.  [default: one per core]")
@click.option(
    "--engine", metavar="NAME", default="openvino", help="openvino, the only one that counts times of layers."
)
@preprocess_option
@random_weights_option
@click.option("-o", "--out", metavar="PNG", help="Draw a figure: time per layer, share per kind.")
@json_option
def profile(
    net: str,
    batches: tuple[int, ...],
    precisions: tuple[str, ...],
    layers: tuple[str, ...],
    runs: int,
    threads: int,
    engine: str,
    preprocess: str | None,
    random_weights: int | None,
    out: str | None,
    as_json: bool,
) -> None:
    """See where the time of a net goes: per layer and per kind of layer, beside what this machine can do.

    --batch, --precision and --layer may be given several times.

    \b
    decaf profile caffenet --random-weights 0 -o profile.png
    decaf profile efficientnet-lite0 --batch 1 --batch 8 --precision bf16 --layer pool --json
    """
    from decaf.engines.profile import profile as measure
    from decaf.nets.registry import load_net
    from decaf.tasks.model_file import check_target

    if out:
        check_target(out)
    measured = measure(load_net(net, preprocess, random_weights), batches, precisions, layers, runs, threads, engine)
    if out:
        from decaf.viz.profile import save_profile

        save_profile(measured, Path(out))
    if as_json:
        print_json(measured.to_dict() | ({"figure": out} if out else {}))
        return
    for timing in measured.timings:
        _print_layers(timing)
    _print_kinds(measured)
    _print_machine(measured)
    if out:
        click.echo(f"figure: {out}")


def _print_layers(timing: Timing) -> None:
    whole, layers = 1e3 * timing.total_seconds, 1e3 * timing.layer_seconds
    calls = f"{timing.runs} calls" if timing.rounds == timing.runs else f"the quickest {timing.runs} of {timing.rounds}"
    rate = timing.batch / timing.total_seconds
    click.echo(f"\nbatch {timing.batch}, {timing.precision}: {whole:.2f} ms a call, {rate:,.0f} pictures/s")
    click.echo(f"middle half of {calls}; layers add up to {layers:.2f} ms, {layers / whole:.0%}")
    if not timing.quiet:
        click.echo("something else had the processor at the time: measure again when it is free")
    largest = sorted(timing.layers, key=lambda layer: -layer.seconds)[:5]
    rows = [_row(layer, timing.batch, layer in largest) for layer in timing.layers]
    print_table(("layer", "", "kind", *_NUMBERS), rows, _NUMBERS)
    if timing.free:
        click.echo(f"free: {', '.join(timing.free)}")


def _row(layer: LayerTime, batch: int, is_large: bool) -> tuple[str, ...]:
    step = layer.step
    merged = f" (with {', '.join(step.merged)})" if step.merged else ""
    return (
        step.name + merged,
        "◀" if is_large else "",
        step.kind,
        f"{1e3 * layer.seconds / batch:.3f}",
        f"{layer.share:.1%}",
        *((f"{step.multiply_adds / 1e6:.1f}", f"{layer.gflops:.0f}") if step.multiply_adds else ("", "")),
        f"{layer.peak_share:.0%}" if layer.peak_share else "",
        f"{layer.gigabytes:.1f}",
        f"{layer.memory_share:.0%}",
        f"{step.parameter_bytes / 1e6:.2f}" if step.parameters else "",
    )


def _print_kinds(measured: Profile) -> None:
    click.echo("\nshare of each kind of layer")
    names = [f"{timing.batch}, {timing.precision}" for timing in measured.timings]
    kinds = dict.fromkeys(kind for timing in measured.timings for kind in timing.kinds)
    rows = [(kind, *(f"{timing.kinds.get(kind, 0):.1%}" for timing in measured.timings)) for kind in kinds]
    print_table(("batch, precision", *names), rows, names)


def _print_machine(measured: Profile) -> None:
    peaks = ", ".join(f"{peak:.0f} GFLOP/s in {precision}" for precision, peak in measured.machine.gflops.items())
    engine = f"{measured.engine}, {measured.instruction_set}, 1 stream of {measured.threads} threads"
    memory = f"{measured.machine.gigabytes:.1f} GB/s"
    click.echo(f"\n{engine}; a large matrix product reaches {peaks}; memory gives {memory}")
