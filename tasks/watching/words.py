"""Times, sizes and counts as people say them, and a run in one line."""

from tasks.watching.runs import RunProgress, StageProgress


def summary_line(progress: RunProgress) -> str:
    """A run in one line, for logs and artifacts; empty while it did nothing.

    It names the stages under way: those that are known not to be done, else the last one; of a run that ended, how it
    did.
    """
    if not progress.alive:
        made = sum(each.made for each in progress.stages)
        found = sum(each.shards for each in progress.stages) - made
        return f"{progress.state} after {duration(progress.elapsed_s)} · {made:,} shards made, {found:,} found"
    busy = [each for each in progress.stages if each.known is not None and 0 < each.shards < each.known]
    parts = [f"{each.stage} {_shards(each)}" for each in (busy or list(progress.stages[-1:])) if each.shards]
    if progress.eta_s is not None:
        parts.append(f"{duration(progress.eta_s)} left")
    return " · ".join(parts)


def _shards(stage: StageProgress) -> str:
    known = "" if stage.known is None else f"/{stage.known:,}"
    return f"{stage.shards:,}{known} ({stage.rows_in:,} rows)"


def duration(seconds: float) -> str:
    """A time span as people say it: `45 s`, `12 min 05 s`, `3 h 07 min`, `2 d 4 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 24 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def size(count: float) -> str:
    """Bytes as people say them, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.2f} TB"
