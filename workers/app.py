"""The Celery application. What travels through it are wakeups; the truth is in the ledger and the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery import Celery

if TYPE_CHECKING:
    from ingest.adapters.ledger.address import Broker


def make_app(broker: Broker) -> Celery:
    """A Celery app without results, ETA, priorities, events and remote control.

    Wakeups are acknowledged when they are taken: a lost one is made good by the next tick, a repeated one finds
    nothing to claim. So neither late acknowledgement nor a visibility timeout has anything to protect.

    Args:
        broker: where wakeups travel.
    """
    app = Celery("mailhaul", broker=broker.url)
    app.conf.update(
        accept_content=["json"],
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            # Waiting for a hint takes a second at a time (kombu's BRPOP); a broker that is silent for longer hangs.
            "socket_timeout": 10,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 30,
            # Sending a hint must not hold up a poller while the broker is away: the next tick makes it good.
            "max_retries": 1,
            "interval_start": 0,
            "interval_step": 0.1,
            "interval_max": 0.1,
            **broker.options,
        },
        broker_use_ssl=None if broker.tls is None else dict(broker.tls),
        task_acks_late=False,
        task_ignore_result=True,
        task_serializer="json",
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_prefetch_multiplier=1,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
    )
    return app
