"""Series as Prometheus would have scraped them, in promtool's notation: one value each minute from minute 0 on."""

from __future__ import annotations

MAIL = {"namespace": "mail"}


def polls(result: str, values: str, mailbox: str = "a") -> dict[str, str]:
    return {f'mailhaul_polls_total{{namespace="mail",instance="p0",mailbox="{mailbox}",result="{result}"}}': values}


def mailbox(
    name: str, last_success: str, *, interval: str = "60", enabled: int = 1, where: str = "mail"
) -> dict[str, str]:
    """A mailbox's gauges; its times are those of promtool, whose clock starts at 0."""
    labels = f'{{namespace="{where}",mailbox="{name}"}}' if where else f'{{mailbox="{name}"}}'
    return {
        f"mailhaul_mailbox_last_success_timestamp_seconds{labels}": last_success,
        f"mailhaul_mailbox_poll_interval_seconds{labels}": f"{interval}x99",
        f"mailhaul_mailbox_enabled{labels}": f"{enabled}x99",
    }


def mailboxes(stale: int, fresh: int) -> dict[str, str]:
    """So many that have not been polled since minute 0, and so many that are polled each minute."""
    series: dict[str, str] = {}
    for number in range(stale):
        series |= mailbox(f"stale-{number}", "0x99")
    for number in range(fresh):
        series |= mailbox(f"fresh-{number}", "0+60x99")
    return series


def one(name: str, values: str, **labels: str) -> dict[str, str]:
    """One series of this name, without the prefix."""
    matchers = ",".join(f'{label}="{text}"' for label, text in {**MAIL, **labels}.items())
    return {f"mailhaul_{name}{{{matchers}}}": values}


def store(operation: str, result: str, values: str) -> dict[str, str]:
    return one("store_requests_total", values, operation=operation, result=result)


def in_time(values: str, all_values: str) -> dict[str, str]:
    return {
        'mailhaul_end_to_end_latency_seconds_bucket{namespace="mail",le="120.0"}': values,
        'mailhaul_end_to_end_latency_seconds_count{namespace="mail"}': all_values,
    }


def task(record: str, name: str, values: str) -> dict[str, str]:
    """When a task last succeeded (`success`), or began without success since (`unfinished`)."""
    return one(f"task_{record}_timestamp_seconds", values, task=name)
