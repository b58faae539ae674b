"""The Celery application. It carries wake-ups only; all state is in the ledger and the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery import Celery

if TYPE_CHECKING:
    from ingest.adapters.ledger.address import Broker


def make_app(broker: Broker) -> Celery:
    """Return a Celery app without results, ETA, priorities, events and remote control.

    Wake-ups are acknowledged when they are received: the next tick replaces a lost one, and a repeated one finds
    nothing to claim. So late acknowledgement and a visibility timeout are not needed.

    Args:
        broker: transports the wake-ups.
    """
    app = Celery("mailhaul", broker=broker.url)
    app.conf.update(
        accept_content=["json"],
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            # Kombu waits for a wake-up with a BRPOP of one second; a broker that is silent for longer hangs.
            "socket_timeout": 10,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 30,
            # Sending a wake-up must not delay a poller while the broker is unavailable: the next tick sends it.
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
