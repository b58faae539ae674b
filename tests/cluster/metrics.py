"""A server of `metrics.k8s.io`, from which autoscalers learn how busy pods are: as busy as a test says."""

from __future__ import annotations

import json
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import trustme

from tests.cluster.peers import NAMESPACE
from tests.support.http import Answer, Receiver

if TYPE_CHECKING:
    from tests.support.http import Request
    from tests.support.kubernetes import Kubernetes

GROUP = "metrics.k8s.io/v1beta1"
API = "v1beta1.metrics.k8s.io"
SERVICE = "metrics"
# Makes the API server ask the stub's Service for this group.
REGISTRATION = {
    "apiVersion": "apiregistration.k8s.io/v1",
    "kind": "APIService",
    "metadata": {"name": API},
    "spec": {
        "group": "metrics.k8s.io",
        "version": "v1beta1",
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "service": {"namespace": NAMESPACE, "name": SERVICE, "port": 443},
        "insecureSkipTLSVerify": True,
    },
}


class Metrics:
    """Answers for the pods that the API server lists.

    Args:
        cluster: knows the pods.

    Attributes:
        receiver: the HTTP server; run it in a `with` block.
        millicores: what each container uses.
    """

    def __init__(self, cluster: Kubernetes) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert(SERVICE).configure_cert(context)
        self._cluster = cluster
        self.millicores = 1
        self.receiver = Receiver(context)
        self.receiver.answer = self._answer

    def _answer(self, request: Request) -> Answer:
        url = urlsplit(request.path)
        if url.path == f"/apis/{GROUP}":
            return _json(_DISCOVERY)
        if url.path.startswith(f"/apis/{GROUP}/namespaces/") and url.path.endswith("/pods"):
            namespace = url.path.split("/")[-2]
            selector = parse_qs(url.query).get("labelSelector", [""])[0]
            return _json(self._usage(namespace, selector))
        return Answer(404)

    def _usage(self, namespace: str, selector: str) -> dict[str, Any]:
        pods = self._cluster.get(f"/api/v1/namespaces/{namespace}/pods", labelSelector=selector)["items"]
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        usage = {"cpu": f"{self.millicores}m", "memory": "100Mi"}
        items = [
            {
                "metadata": {"name": pod["metadata"]["name"], "namespace": namespace},
                "timestamp": now,
                "window": "10s",
                "containers": [{"name": one["name"], "usage": usage} for one in pod["spec"]["containers"]],
            }
            for pod in pods
            if pod["status"].get("phase") == "Running"
        ]
        return {"kind": "PodMetricsList", "apiVersion": GROUP, "metadata": {}, "items": items}


_DISCOVERY = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": GROUP,
    "resources": [
        {"name": "pods", "singularName": "", "namespaced": True, "kind": "PodMetrics", "verbs": ["get", "list"]}
    ],
}


def _json(content: dict[str, Any]) -> Answer:
    return Answer(200, {"content-type": "application/json"}, json.dumps(content).encode())
