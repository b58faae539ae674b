"""One node with its control plane: every program that a cluster is made of, without Docker and without a registry."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

import yaml

from tests.cluster.machine import NODE, PODS, SERVICES
from tests.cluster.processes import run, running
from tests.support.kubernetes import BUILT, Kubernetes
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NAME = "node"
PAUSE = "mailhaul.test/pause:1"
SOCKET = "/run/containerd/containerd.sock"
_DOMAIN = "cluster.local"
# Controllers that are restarted for tests see demand sooner than the defaults of a large cluster let them.
_CONTROLLER_OPTIONS = (
    "--leader-elect=false",
    "--horizontal-pod-autoscaler-sync-period=5s",
    "--horizontal-pod-autoscaler-cpu-initialization-period=10s",
    "--horizontal-pod-autoscaler-initial-readiness-delay=5s",
)


class Node:
    """Runs in a `with` block, within the namespaces that `machine.set_up` has prepared.

    Args:
        folder: exists; for everything that it writes. Its name is that of the control group too.
        images: archives of the images that pods may use.

    Attributes:
        server: the API server.
        kubeconfig: a file with the configuration of an administrator.
        logs: a folder with what each program printed.
    """

    def __init__(self, folder: Path, images: Sequence[Path]) -> None:
        self._folder, self._images = folder, images
        self.logs = folder / "logs"
        self.logs.mkdir()
        self.server = Kubernetes(BUILT, self.logs, NODE, self._server_options())
        self.kubeconfig = folder / "kubeconfig"
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack:
            self._stack.enter_context(self.server)
            self.kubeconfig.write_text(self.server.kubeconfig)
            for name in ("kube-controller-manager", "kube-scheduler"):
                self._start(str(BUILT / name), *getattr(self, f"_{name.replace('-', '_')}")())
            self._start("containerd", "--config", self._containerd())
            eventually(self._import_images, lambda: self.log("containerd"))
            self._start(str(BUILT / "kube-proxy"), "--config", self._proxy())
            self._start(str(BUILT / "coredns"), "-conf", self._names())
            self._start(str(BUILT / "kubelet"), *self._kubelet())
            eventually(self._is_ready, lambda: self.log("kubelet"))
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def log(self, program: str) -> str:
        """The end of what a program printed."""
        return (self.logs / f"{program}.log").read_text(errors="replace")[-3000:]

    def _start(self, *command: str) -> None:
        self._stack.enter_context(running(command, self.logs))

    def _is_ready(self) -> bool:
        nodes = self.server.get("/api/v1/nodes")["items"]
        return any(
            condition["type"] == "Ready" and condition["status"] == "True"
            for node in nodes
            for condition in node["status"].get("conditions", [])
        )

    def _import_images(self) -> bool:
        try:
            for image in self._images:
                run("ctr", "--address", SOCKET, "--namespace", "k8s.io", "images", "import", str(image))
        except RuntimeError:
            return False  # it does not answer yet
        return True

    def _write(self, name: str, content: str | dict[str, Any]) -> str:
        path = self._folder / name
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return str(path)

    def _server_options(self) -> list[str]:
        return [
            f"--service-cluster-ip-range={SERVICES}",
            "--kubelet-preferred-address-types=InternalIP",
            # Servers of further APIs, as that of metrics, know this one by its certificate.
            f"--requestheader-client-ca-file={self.logs / 'authority.pem'}",
            "--requestheader-allowed-names=",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={self.logs / 'server.pem'}",
            f"--proxy-client-key-file={self.logs / 'server.key'}",
        ]

    def _kube_controller_manager(self) -> list[str]:
        return [
            f"--kubeconfig={self.kubeconfig}",
            f"--root-ca-file={self.server.authority}",
            f"--service-account-private-key-file={self.server.account_key}",
            "--use-service-account-credentials=false",
            f"--flex-volume-plugin-dir={self._folder / 'plugins'}",
            f"--cluster-cidr={PODS}",
            *_CONTROLLER_OPTIONS,
        ]

    def _kube_scheduler(self) -> list[str]:
        return [f"--kubeconfig={self.kubeconfig}", "--leader-elect=false"]

    def _containerd(self) -> str:
        network = {
            "cniVersion": "0.4.0",
            "name": "pods",
            "plugins": [
                {
                    "type": "bridge",
                    "bridge": "pods0",
                    "isGateway": True,
                    "hairpinMode": True,
                    "ipam": {
                        "type": "host-local",
                        "ranges": [[{"subnet": PODS}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                    },
                }
            ],
        }
        (self._folder / "cni").mkdir()
        self._write("cni/pods.conflist", json.dumps(network))
        return self._write("containerd.toml", _CONTAINERD.format(folder=self._folder, socket=SOCKET, pause=PAUSE))

    def _proxy(self) -> str:
        return self._write(
            "proxy.yaml",
            {
                "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
                "kind": "KubeProxyConfiguration",
                "mode": "nftables",
                "clusterCIDR": PODS,
                "hostnameOverride": NAME,
                "clientConnection": {"kubeconfig": str(self.kubeconfig)},
                "conntrack": {"maxPerCore": 0, "min": 0},
                "oomScoreAdj": 0,
            },
        )

    def _names(self) -> str:
        return self._write("Corefile", _COREFILE.format(domain=_DOMAIN, address=NODE, kubeconfig=self.kubeconfig))

    def _kubelet(self) -> list[str]:
        self._write("resolv.conf", f"nameserver {NODE}\n")
        config = self._write(
            "kubelet.yaml",
            {
                "apiVersion": "kubelet.config.k8s.io/v1beta1",
                "kind": "KubeletConfiguration",
                # Nobody reaches its network but pods and this program.
                "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
                "authorization": {"mode": "AlwaysAllow"},
                "cgroupDriver": "cgroupfs",
                "cgroupRoot": f"/{self._folder.name}",
                "failCgroupV1": False,
                "failSwapOn": False,
                "clusterDNS": [NODE],
                "clusterDomain": _DOMAIN,
                "containerRuntimeEndpoint": f"unix://{SOCKET}",
                "resolvConf": str(self._folder / "resolv.conf"),
                "volumePluginDir": str(self._folder / "plugins"),
                # How full the disk of the machine is matters to nobody here.
                "evictionHard": {"memory.available": "1%", "nodefs.available": "0%", "imagefs.available": "0%"},
                "imageGCHighThresholdPercent": 100,
                "oomScoreAdj": 0,
            },
        )
        return [
            f"--config={config}",
            f"--kubeconfig={self.kubeconfig}",
            f"--root-dir={self._folder / 'kubelet'}",
            f"--cert-dir={self._folder / 'kubelet-keys'}",
            f"--hostname-override={NAME}",
            f"--node-ip={NODE}",
        ]


_CONTAINERD = """\
version = 2
root = "{folder}/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
# Without CAP_SYS_RESOURCE nobody may make the kernel spare a process.
restrict_oom_score_adj = true
disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{folder}/cni"
"""

_COREFILE = """\
.:53 {{
    bind {address}
    errors
    kubernetes {domain} {{
        kubeconfig {kubeconfig}
        ttl 5
    }}
}}
"""
