"""The Celery application. It carries wake-ups only; all state is in the ledger and the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import Celery

if TYPE_CHECKING:
    from ingest.adapters.ledger.address import Broker
    from ingest.ports.wakeups import Queue


def make_app(broker: Broker, deployment: str = "mailhaul") -> Celery:
    """Return a Celery app without results, ETA, priorities, events and remote control.

    Wake-ups are acknowledged when they are received: the next tick replaces a lost one, and a repeated one finds
    nothing to claim. So late acknowledgement and a visibility timeout are not needed.

    Args:
        broker: transports the wake-ups.
        deployment: name of the app; sets its queues and keys apart from those of others on the same broker.
    """
    app = Celery(deployment, broker=broker.url)
    app.conf.update(
        accept_content=["json"],
        **_broker_options(broker, deployment),
        task_acks_late=False,
        task_ignore_result=True,
        task_serializer="json",
        worker_consumer="workers.consumer:Consumer",
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_prefetch_multiplier=1,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
    )
    return app


def _broker_options(broker: Broker, deployment: str) -> dict[str, Any]:
    return {
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # A worker at a Redis primary that is demoted connects anew instead of ending: kombu takes what such a server
        # answers (UNBLOCKED, READONLY) for an error of the channel.
        "broker_channel_error_retry": True,
        "broker_transport_options": {**_transport_options(deployment), **broker.options},
        "broker_use_ssl": None if broker.tls is None else dict(broker.tls),
    }


def _transport_options(deployment: str) -> dict[str, Any]:
    return {
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
        # Where kombu keeps messages between receipt and acknowledgement on Redis.
        "unacked_key": f"{deployment}.unacked",
        "unacked_index_key": f"{deployment}.unacked_index",
        "unacked_mutex_key": f"{deployment}.unacked_mutex",
    }


def queue_name(app: Celery, queue: Queue) -> str:
    """Return the name of a queue on the broker, which begins with the deployment's."""
    return f"{app.main}.{queue}"
