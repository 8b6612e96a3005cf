"""Every rule with a change to a right service that breaks it, and the findings that the change brings."""

# ruff: noqa: E501 — places are long

import datetime as dt
from typing import Any

# A key whose value is taken away.
DELETE = object()
# The place of a change has dots between its steps; ~ stands for a dot inside one.
CASES: dict[str, tuple[dict[str, Any], list[tuple[str, str, str]]]] = {
    "agent-bind": (
        {"spec.template.spec.containers.1.env.1.value": "127.0.0.1"},
        [("agent-bind", "spec.template.spec.containers[1].env[1]", "error")],
    ),
    "agent-device": (
        {
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ]
        },
        [("agent-device", "spec.template.spec.containers[1].env", "warning")],
    ),
    "agent-settings.close": (
        {
            "spec.template.spec.containers.1.env.1.name": "PROBE_AGENT_DEVICE",
            "spec.template.spec.containers.1.env.1.value": "gpu",
            "spec.template.spec.containers.1.env.2.name": "PROBE_AGENT_FOO",
            "spec.template.spec.containers.1.env.2.value": "1",
        },
        [("agent-settings", "spec.template.spec.containers[1].env[2]", "error")],
    ),
    "agent-settings": (
        {
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_FAILURE_TRESHOLD", "value": "3"},
                {"name": "PROBE_AGENT_PERIOD_SECONDS", "value": "5s"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ]
        },
        [
            ("agent-settings", "spec.template.spec.containers[1].env[1]", "error"),
            ("agent-settings", "spec.template.spec.containers[1].env[2]", "error"),
        ],
    ),
    "agent-variable": (
        {
            "spec.template.spec.containers.0.env.5": {"name": "PROBE_AGENT_RUNTIME_DIR", "value": "/run/ollama"},
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("agent-variable", "spec.template.spec.containers[0].env[5]", "error")],
    ),
    "annotation": (
        {
            "metadata.annotations.autoscaling~knative~dev/minScale": "1",
            "spec.template.metadata.annotations.run~googleapis~com/startup-cpu-bost": "true",
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [
            ("annotation", 'metadata.annotations["autoscaling.knative.dev/minScale"]', "error"),
            ("annotation", 'spec.template.metadata.annotations["run.googleapis.com/startup-cpu-bost"]', "warning"),
        ],
    ),
    "concurrency.default": (
        {
            "spec.template.spec.containerConcurrency": DELETE,
            "spec.template.spec.containers.0.env.3.value": "160",
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("concurrency", "spec.template.spec.containerConcurrency", "error")],
    ),
    "concurrency.formula": (
        {
            "spec.template.spec.containerConcurrency": 16,
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("concurrency", "spec.template.spec.containerConcurrency", "error")],
    ),
    "container-count": (
        {
            "spec.template.spec.containers": [
                {
                    "name": "extra0",
                    "image": "example.com/extra:1",
                    "resources": {"limits": {"cpu": "80m", "memory": "128Mi"}},
                },
                {
                    "name": "extra1",
                    "image": "example.com/extra:1",
                    "resources": {"limits": {"cpu": "80m", "memory": "128Mi"}},
                },
                {
                    "name": "extra2",
                    "image": "example.com/extra:1",
                    "resources": {"limits": {"cpu": "80m", "memory": "128Mi"}},
                },
                {
                    "name": "extra3",
                    "image": "example.com/extra:1",
                    "resources": {"limits": {"cpu": "80m", "memory": "128Mi"}},
                },
                {
                    "name": "extra4",
                    "image": "example.com/extra:1",
                    "resources": {"limits": {"cpu": "80m", "memory": "128Mi"}},
                },
                {
                    "name": "extra5",
                    "image": "example.com/extra:1",
                    "resources": {"limits": {"cpu": "80m", "memory": "128Mi"}},
                },
                {
                    "name": "extra6",
                    "image": "example.com/extra:1",
                    "resources": {"limits": {"cpu": "80m", "memory": "128Mi"}},
                },
                {
                    "name": "extra7",
                    "image": "example.com/extra:1",
                    "resources": {"limits": {"cpu": "80m", "memory": "128Mi"}},
                },
                {
                    "name": "extra8",
                    "image": "example.com/extra:1",
                    "resources": {"limits": {"cpu": "80m", "memory": "128Mi"}},
                },
                {
                    "name": "ollama",
                    "image": "example.com/ollama:1",
                    "ports": [{"containerPort": 11434}],
                    "env": [
                        {"name": "OLLAMA_HOST", "value": "0.0.0.0:11434"},
                        {"name": "OLLAMA_CONTEXT_LENGTH", "value": "8192"},
                        {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
                        {"name": "OLLAMA_MAX_QUEUE", "value": "16"},
                        {"name": "OLLAMA_KEEP_ALIVE", "value": "-1"},
                    ],
                    "resources": {"limits": {"cpu": "6", "memory": "24Gi", "nvidia.com/gpu": "1"}},
                    "startupProbe": {
                        "httpGet": {"path": "/startup", "port": 9090},
                        "periodSeconds": 10,
                        "timeoutSeconds": 9,
                        "failureThreshold": 23,
                    },
                    "readinessProbe": {
                        "httpGet": {"path": "/ready", "port": 9090},
                        "periodSeconds": 5,
                        "timeoutSeconds": 2,
                        "failureThreshold": 2,
                    },
                },
                {
                    "name": "probe-agent",
                    "image": "example.com/probe-agent:1",
                    "env": [
                        {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                        {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                        {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                        {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                        {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
                    ],
                    "resources": {"limits": {"cpu": "1", "memory": "512Mi"}},
                    "startupProbe": {
                        "httpGet": {"path": "/startup", "port": 9090},
                        "periodSeconds": 10,
                        "timeoutSeconds": 9,
                        "failureThreshold": 23,
                    },
                    "livenessProbe": {"httpGet": {"path": "/live", "port": 9090}},
                },
            ]
        },
        [
            ("container-count", "spec.template.spec.containers[10]", "error"),
            ("cpu-memory", "spec.template.spec.containers[0].resources.limits.cpu", "error"),
            ("cpu-memory", "spec.template.spec.containers[0].resources.limits.memory", "error"),
            ("cpu-memory", "spec.template.spec.containers[1].resources.limits.cpu", "error"),
            ("cpu-memory", "spec.template.spec.containers[1].resources.limits.memory", "error"),
            ("cpu-memory", "spec.template.spec.containers[2].resources.limits.cpu", "error"),
            ("cpu-memory", "spec.template.spec.containers[2].resources.limits.memory", "error"),
            ("cpu-memory", "spec.template.spec.containers[3].resources.limits.cpu", "error"),
            ("cpu-memory", "spec.template.spec.containers[3].resources.limits.memory", "error"),
            ("cpu-memory", "spec.template.spec.containers[4].resources.limits.cpu", "error"),
            ("cpu-memory", "spec.template.spec.containers[4].resources.limits.memory", "error"),
            ("cpu-memory", "spec.template.spec.containers[5].resources.limits.cpu", "error"),
            ("cpu-memory", "spec.template.spec.containers[5].resources.limits.memory", "error"),
            ("cpu-memory", "spec.template.spec.containers[6].resources.limits.cpu", "error"),
            ("cpu-memory", "spec.template.spec.containers[6].resources.limits.memory", "error"),
            ("cpu-memory", "spec.template.spec.containers[7].resources.limits.cpu", "error"),
            ("cpu-memory", "spec.template.spec.containers[7].resources.limits.memory", "error"),
            ("cpu-memory", "spec.template.spec.containers[8].resources.limits.cpu", "error"),
            ("cpu-memory", "spec.template.spec.containers[8].resources.limits.memory", "error"),
        ],
    ),
    "container-names": (
        {
            "spec.template.spec.containers.1.name": "ollama",
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("container-names", "spec.template.spec.containers[1].name", "error")],
    ),
    "context": (
        {
            "spec.template.spec.containers.0.env.1.value": "4096",
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("context", "spec.template.spec.containers[0].env[1]", "error")],
    ),
    "cpu-memory.cpu": (
        {
            "spec.template.spec.containers.0.resources.limits.cpu": "5",
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("cpu-memory", "spec.template.spec.containers[0].resources.limits.cpu", "error")],
    ),
    "cpu-memory.memory": (
        {
            "spec.template.spec.containers.0.resources.limits.cpu": "4",
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("cpu-memory", "spec.template.spec.containers[0].resources.limits.memory", "error")],
    ),
    "dependency-cycle": (
        {
            "spec.template.metadata.annotations.run~googleapis~com/container-dependencies": '{"ollama":["probe-agent"],"probe-agent":["ollama"]}',
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [
            (
                "dependency-cycle",
                'spec.template.metadata.annotations["run.googleapis.com/container-dependencies"]',
                "error",
            ),
            (
                "dependency-deadlock",
                'spec.template.metadata.annotations["run.googleapis.com/container-dependencies"]',
                "error",
            ),
        ],
    ),
    "dependency-deadlock.agent": (
        {
            "spec.template.metadata.annotations.run~googleapis~com/container-dependencies": '{"probe-agent":["ollama"]}',
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [
            (
                "dependency-deadlock",
                'spec.template.metadata.annotations["run.googleapis.com/container-dependencies"]',
                "error",
            )
        ],
    ),
    "dependency-deadlock.ollama": (
        {
            "spec.template.metadata.annotations.run~googleapis~com/container-dependencies": '{"ollama":["probe-agent"]}',
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [
            (
                "dependency-deadlock",
                'spec.template.metadata.annotations["run.googleapis.com/container-dependencies"]',
                "error",
            )
        ],
    ),
    "dependency-form": (
        {
            "spec.template.metadata.annotations.run~googleapis~com/container-dependencies": "probe-agent: ollama",
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [
            (
                "dependency-form",
                'spec.template.metadata.annotations["run.googleapis.com/container-dependencies"]',
                "error",
            )
        ],
    ),
    "dependency-probe": (
        {
            "spec.template.metadata.annotations.run~googleapis~com/container-dependencies": '{"helper":["cache"]}',
            "spec.template.spec.containers": [
                {
                    "name": "helper",
                    "image": "example.com/helper:1",
                    "resources": {"limits": {"cpu": "80m", "memory": "128Mi"}},
                },
                {
                    "name": "cache",
                    "image": "example.com/cache:1",
                    "resources": {"limits": {"cpu": "80m", "memory": "128Mi"}},
                },
                {
                    "name": "ollama",
                    "image": "example.com/ollama:1",
                    "ports": [{"containerPort": 11434}],
                    "env": [
                        {"name": "OLLAMA_HOST", "value": "0.0.0.0:11434"},
                        {"name": "OLLAMA_CONTEXT_LENGTH", "value": "8192"},
                        {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
                        {"name": "OLLAMA_MAX_QUEUE", "value": "16"},
                        {"name": "OLLAMA_KEEP_ALIVE", "value": "-1"},
                    ],
                    "resources": {"limits": {"cpu": "6", "memory": "24Gi", "nvidia.com/gpu": "1"}},
                    "startupProbe": {
                        "httpGet": {"path": "/startup", "port": 9090},
                        "periodSeconds": 10,
                        "timeoutSeconds": 9,
                        "failureThreshold": 23,
                    },
                    "readinessProbe": {
                        "httpGet": {"path": "/ready", "port": 9090},
                        "periodSeconds": 5,
                        "timeoutSeconds": 2,
                        "failureThreshold": 2,
                    },
                },
                {
                    "name": "probe-agent",
                    "image": "example.com/probe-agent:1",
                    "env": [
                        {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                        {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                        {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                        {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                        {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
                    ],
                    "resources": {"limits": {"cpu": "1", "memory": "512Mi"}},
                    "startupProbe": {
                        "httpGet": {"path": "/startup", "port": 9090},
                        "periodSeconds": 10,
                        "timeoutSeconds": 9,
                        "failureThreshold": 23,
                    },
                    "livenessProbe": {"httpGet": {"path": "/live", "port": 9090}},
                },
            ],
        },
        [
            ("cpu-memory", "spec.template.spec.containers[0].resources.limits.cpu", "error"),
            ("cpu-memory", "spec.template.spec.containers[0].resources.limits.memory", "error"),
            ("cpu-memory", "spec.template.spec.containers[1].resources.limits.cpu", "error"),
            ("cpu-memory", "spec.template.spec.containers[1].resources.limits.memory", "error"),
            ("dependency-probe", "spec.template.spec.containers[1]", "error"),
        ],
    ),
    "dependency-unknown": (
        {
            "spec.template.metadata.annotations.run~googleapis~com/container-dependencies": '{"ollama":["proxy"]}',
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [
            (
                "dependency-unknown",
                'spec.template.metadata.annotations["run.googleapis.com/container-dependencies"]',
                "error",
            )
        ],
    ),
    "duplicate-variable": (
        {
            "spec.template.spec.containers.1.env.1.name": "PROBE_AGENT_DEVICE",
            "spec.template.spec.containers.1.env.1.value": "any",
        },
        [("duplicate-variable", "spec.template.spec.containers[1].env[2]", "error")],
    ),
    "gcsfuse-cache": (
        {
            "spec.template.metadata.annotations.run~googleapis~com/network-interfaces": '[{"network":"ollama","subnetwork":"ollama"}]',
            "spec.template.metadata.annotations.run~googleapis~com/vpc-access-egress": "all-traffic",
            "spec.template.spec.volumes": [
                {
                    "name": "model",
                    "csi": {
                        "driver": "gcsfuse.run.googleapis.com",
                        "readOnly": True,
                        "volumeAttributes": {
                            "bucketName": "BUCKET",
                            "mountOptions": "enable-buffered-read=true,cache-dir=/cache",
                        },
                    },
                }
            ],
            "spec.template.spec.containers.0.volumeMounts": [{"name": "model", "mountPath": "/models"}],
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("gcsfuse-cache", "spec.template.spec.volumes[0].csi.volumeAttributes.mountOptions", "error")],
    ),
    "gcsfuse-writable": (
        {
            "spec.template.metadata.annotations.run~googleapis~com/network-interfaces": '[{"network":"ollama","subnetwork":"ollama"}]',
            "spec.template.metadata.annotations.run~googleapis~com/vpc-access-egress": "all-traffic",
            "spec.template.spec.volumes": [
                {
                    "name": "model",
                    "csi": {"driver": "gcsfuse.run.googleapis.com", "volumeAttributes": {"bucketName": "BUCKET"}},
                }
            ],
            "spec.template.spec.containers.0.volumeMounts": [{"name": "model", "mountPath": "/models"}],
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("gcsfuse-writable", "spec.template.spec.volumes[0].csi", "warning")],
    ),
    "gpu-billing": (
        {
            "spec.template.metadata.annotations.run~googleapis~com/cpu-throttling": "true",
            "spec.template.metadata.annotations.run~googleapis~com/execution-environment": "gen1",
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [
            ("gpu-billing", 'spec.template.metadata.annotations["run.googleapis.com/cpu-throttling"]', "error"),
            ("gpu-billing", 'spec.template.metadata.annotations["run.googleapis.com/execution-environment"]', "error"),
        ],
    ),
    "gpu-container": (
        {
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
            "spec.template.spec.containers.1.resources.limits.nvidia~com/gpu": "1",
        },
        [("gpu-container", 'spec.template.spec.containers[1].resources.limits["nvidia.com/gpu"]', "error")],
    ),
    "gpu-minimum": (
        {
            "spec.template.spec.containers.0.resources.limits.cpu": "2",
            "spec.template.spec.containers.0.resources.limits.memory": "8Gi",
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("gpu-minimum", "spec.template.spec.containers", "error")],
    ),
    "gpu-selector.limit": (
        {
            "spec.template.spec.containers.0.resources.limits.nvidia~com/gpu": DELETE,
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("gpu-selector", 'spec.template.spec.nodeSelector["run.googleapis.com/accelerator"]', "error")],
    ),
    "gpu-selector.none": (
        {
            "spec.template.spec.nodeSelector": DELETE,
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("gpu-selector", 'spec.template.spec.containers[0].resources.limits["nvidia.com/gpu"]', "error")],
    ),
    "image-digest": (
        {
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ]
        },
        [
            ("image-digest", "spec.template.spec.containers[0].image", "error"),
            ("image-digest", "spec.template.spec.containers[1].image", "error"),
        ],
    ),
    "ingress.none": (
        {
            "spec.template.spec.containers.0.ports": DELETE,
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("ingress", "spec.template.spec.containers", "error")],
    ),
    "ingress.two": (
        {
            "spec.template.spec.containers.1.ports": [{"containerPort": 9090}],
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("ingress", "spec.template.spec.containers[1].ports", "error")],
    ),
    "instance-size": (
        {
            "spec.template.spec.containers.0.resources.limits.cpu": "8",
            "spec.template.spec.containers.0.resources.limits.memory": "32Gi",
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("instance-size", "spec.template.spec.containers", "error")],
    ),
    "keep-alive": (
        {
            "spec.template.spec.containers.0.env": [
                {"name": "OLLAMA_HOST", "value": "0.0.0.0:11434"},
                {"name": "OLLAMA_CONTEXT_LENGTH", "value": "8192"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
                {"name": "OLLAMA_MAX_QUEUE", "value": "16"},
            ],
            "spec.template.spec.containers.1.env.1.name": "PROBE_AGENT_KEEP_ALIVE",
            "spec.template.spec.containers.1.env.1.value": "10m",
        },
        [
            ("keep-alive", "spec.template.spec.containers[0].env", "error"),
            ("keep-alive", "spec.template.spec.containers[1].env[1]", "warning"),
        ],
    ),
    "kv-cache-type.undocumented": (
        {
            "spec.template.spec.containers.0.env.5": {"name": "OLLAMA_KV_CACHE_TYPE", "value": "q5_1"},
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("kv-cache-type", "spec.template.spec.containers[0].env[5]", "warning")],
    ),
    "kv-cache-type": (
        {
            "spec.template.spec.containers.0.env.5": {"name": "OLLAMA_KV_CACHE_TYPE", "value": "q8"},
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("kv-cache-type", "spec.template.spec.containers[0].env[5]", "error")],
    ),
    "launch-stage": (
        {
            "metadata.annotations": DELETE,
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("launch-stage", 'metadata.annotations["run.googleapis.com/launch-stage"]', "error")],
    ),
    "liveness-on-ollama": (
        {
            "spec.template.spec.containers.0.livenessProbe": {"httpGet": {"path": "/", "port": 11434}},
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("liveness-on-ollama", "spec.template.spec.containers[0].livenessProbe", "warning")],
    ),
    "loaded-models": (
        {
            "spec.template.spec.containerConcurrency": 16,
            "spec.template.spec.containers.0.env": [
                {"name": "OLLAMA_HOST", "value": "0.0.0.0:11434"},
                {"name": "OLLAMA_CONTEXT_LENGTH", "value": "8192"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
                {"name": "OLLAMA_MAX_LOADED_MODELS", "value": "1"},
                {"name": "OLLAMA_MAX_QUEUE", "value": "16"},
                {"name": "OLLAMA_KEEP_ALIVE", "value": "-1"},
            ],
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192,embeddinggemma:300m@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("loaded-models", "spec.template.spec.containers[0].env[3]", "error")],
    ),
    "memory-volume.open": (
        {
            "spec.template.spec.volumes": [{"name": "model", "emptyDir": {"medium": "Memory"}}],
            "spec.template.spec.containers.0.volumeMounts": [{"name": "model", "mountPath": "/models"}],
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("memory-volume", "spec.template.spec.volumes[0].emptyDir", "warning")],
    ),
    "memory-volume.size": (
        {
            "spec.template.spec.volumes": [{"name": "model", "emptyDir": {"medium": "Memory", "sizeLimit": "32Gi"}}],
            "spec.template.spec.containers.0.volumeMounts": [{"name": "model", "mountPath": "/models"}],
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("memory-volume", "spec.template.spec.volumes[0].emptyDir.sizeLimit", "error")],
    ),
    "memory-volume.writer": (
        {
            "spec.template.metadata.annotations.run~googleapis~com/network-interfaces": '[{"network":"ollama","subnetwork":"ollama"}]',
            "spec.template.metadata.annotations.run~googleapis~com/vpc-access-egress": "all-traffic",
            "spec.template.spec.volumes": [{"name": "model", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}}],
            "spec.template.spec.containers.0.volumeMounts": [{"name": "model", "mountPath": "/models"}],
            "spec.template.spec.containers.0.env": [
                {"name": "OLLAMA_HOST", "value": "0.0.0.0:11434"},
                {"name": "OLLAMA_CONTEXT_LENGTH", "value": "8192"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
                {"name": "OLLAMA_MODELS", "value": "/models"},
                {"name": "OLLAMA_MAX_QUEUE", "value": "16"},
                {"name": "OLLAMA_KEEP_ALIVE", "value": "-1"},
            ],
            "spec.template.spec.containers.1.volumeMounts": [{"name": "model", "mountPath": "/models"}],
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_MODEL_SOURCE", "value": "gcs"},
                {"name": "PROBE_AGENT_MODEL_BUCKET", "value": "gs://bucket/prefix"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("memory-volume", "spec.template.spec.volumes[0].emptyDir.sizeLimit", "error")],
    ),
    "model-egress.gcs": (
        {
            "spec.template.spec.containers.0.env.5": {"name": "OLLAMA_MODELS", "value": "/models"},
            "spec.template.spec.containers.0.volumeMounts": [{"name": "models", "mountPath": "/models"}],
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_MODEL_SOURCE", "value": "gcs"},
                {"name": "PROBE_AGENT_MODEL_BUCKET", "value": "gs://models"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
            "spec.template.spec.containers.1.volumeMounts": [{"name": "models", "mountPath": "/models"}],
            "spec.template.spec.containers.1.resources.limits.cpu": "2",
            "spec.template.spec.containers.1.resources.limits.memory": "6Gi",
            "spec.template.spec.volumes": [{"name": "models", "emptyDir": {"medium": "Memory", "sizeLimit": "4Gi"}}],
        },
        [("model-egress", 'spec.template.metadata.annotations["run.googleapis.com/vpc-access-egress"]', "warning")],
    ),
    "model-egress.mount": (
        {
            "spec.template.metadata.annotations.run~googleapis~com/network-interfaces": '[{"network":"ollama","subnetwork":"ollama"}]',
            "spec.template.metadata.annotations.run~googleapis~com/vpc-access-egress": "private-ranges-only",
            "spec.template.spec.containers.0.env.5": {"name": "OLLAMA_MODELS", "value": "/models"},
            "spec.template.spec.containers.0.volumeMounts": [{"name": "models", "mountPath": "/models"}],
            "spec.template.spec.containers.1.env.1.name": "PROBE_AGENT_DEVICE",
            "spec.template.spec.containers.1.env.1.value": "gpu",
            "spec.template.spec.containers.1.env.2.name": "PROBE_AGENT_MODEL_SOURCE",
            "spec.template.spec.containers.1.env.2.value": "mount",
            "spec.template.spec.containers.1.volumeMounts": [{"name": "models", "mountPath": "/models"}],
            "spec.template.spec.volumes": [
                {
                    "name": "models",
                    "csi": {
                        "driver": "gcsfuse.run.googleapis.com",
                        "readOnly": True,
                        "volumeAttributes": {"bucketName": "models"},
                    },
                }
            ],
        },
        [("model-egress", 'spec.template.metadata.annotations["run.googleapis.com/vpc-access-egress"]', "warning")],
    ),
    "model-store": (
        {
            "spec.template.metadata.annotations.run~googleapis~com/network-interfaces": '[{"network":"ollama","subnetwork":"ollama"}]',
            "spec.template.metadata.annotations.run~googleapis~com/vpc-access-egress": "all-traffic",
            "spec.template.spec.volumes": [{"name": "model", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}}],
            "spec.template.spec.containers.0.volumeMounts": [{"name": "model", "mountPath": "/models"}],
            "spec.template.spec.containers.0.env": [
                {"name": "OLLAMA_HOST", "value": "0.0.0.0:11434"},
                {"name": "OLLAMA_CONTEXT_LENGTH", "value": "8192"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
                {"name": "OLLAMA_MODELS", "value": "/root/.ollama/models"},
                {"name": "OLLAMA_MAX_QUEUE", "value": "16"},
                {"name": "OLLAMA_KEEP_ALIVE", "value": "-1"},
            ],
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_MODEL_SOURCE", "value": "gcs"},
                {"name": "PROBE_AGENT_MODEL_BUCKET", "value": "gs://bucket/prefix"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [
            ("model-store", "spec.template.spec.containers[0].env[3]", "error"),
            ("model-store", "spec.template.spec.containers[1].env", "error"),
        ],
    ),
    "model-tag": (
        {
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ]
        },
        [("model-tag", "spec.template.spec.containers[1].env[0]", "warning")],
    ),
    "ollama-bind.loopback": (
        {
            "spec.template.spec.containers.0.env.0.value": "127.0.0.1:11434",
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("ollama-bind", "spec.template.spec.containers[0].env[0]", "error")],
    ),
    "ollama-bind.port": (
        {
            "spec.template.spec.containers.0.ports.0.containerPort": 8080,
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("ollama-bind", "spec.template.spec.containers[0].env[0]", "error")],
    ),
    "ollama-url": (
        {
            "spec.template.spec.containers.1.env.1.name": "PROBE_AGENT_OLLAMA_URL",
            "spec.template.spec.containers.1.env.1.value": "http://127.0.0.1:8080",
        },
        [("ollama-url", "spec.template.spec.containers[1].env[1]", "error")],
    ),
    "placeholder": (
        {
            "spec.template.metadata.annotations.run~googleapis~com/network-interfaces": '[{"network":"NETWORK","subnetwork":"ollama"}]',
            "spec.template.metadata.annotations.run~googleapis~com/vpc-access-egress": "all-traffic",
            "spec.template.spec.serviceAccountName": "ollama@$PROJECT_ID.iam.gserviceaccount.com",
            "spec.template.spec.containers.0.image": "example.com/ollama@sha256:0000000000000000000000000000000000000000000000000000000000000000",
            "spec.template.spec.containers.0.env.5": {"name": "OLLAMA_MODELS", "value": "/models"},
            "spec.template.spec.containers.0.volumeMounts": [{"name": "models", "mountPath": "/models"}],
            "spec.template.spec.containers.1.image": "REGION-docker.pkg.dev/PROJECT_ID/REPOSITORY/probe-agent@sha256:0000000000000000000000000000000000000000000000000000000000000000",
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_MODEL_SOURCE", "value": "gcs"},
                {"name": "PROBE_AGENT_MODEL_BUCKET", "value": "gs://project-id-models"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
            "spec.template.spec.containers.1.volumeMounts": [{"name": "models", "mountPath": "/models"}],
            "spec.template.spec.containers.1.resources.limits.cpu": "2",
            "spec.template.spec.containers.1.resources.limits.memory": "6Gi",
            "spec.template.spec.volumes": [{"name": "models", "emptyDir": {"medium": "Memory", "sizeLimit": "4Gi"}}],
        },
        [
            ("image-digest", "spec.template.spec.containers[0].image", "error"),
            ("image-digest", "spec.template.spec.containers[1].image", "error"),
            ("placeholder", 'spec.template.metadata.annotations["run.googleapis.com/network-interfaces"]', "error"),
            ("placeholder", "spec.template.spec.containers[1].env[3].value", "error"),
            ("placeholder", "spec.template.spec.serviceAccountName", "error"),
        ],
    ),
    "probe-action": (
        {
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
            "spec.template.spec.containers.1.livenessProbe.httpGet": DELETE,
            "spec.template.spec.containers.1.livenessProbe.periodSeconds": 15,
        },
        [("probe-action", "spec.template.spec.containers[1].livenessProbe", "error")],
    ),
    "probe-bounds": (
        {
            "spec.template.spec.containers.0.startupProbe.initialDelaySeconds": 2000,
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
            "spec.template.spec.containers.1.startupProbe.initialDelaySeconds": 2000,
        },
        [
            ("probe-bounds", "spec.template.spec.containers[0].startupProbe.initialDelaySeconds", "error"),
            ("probe-bounds", "spec.template.spec.containers[1].startupProbe.initialDelaySeconds", "error"),
            ("startup-budget", "spec.template.spec.containers[0].startupProbe", "warning"),
            ("startup-budget", "spec.template.spec.containers[1].startupProbe", "warning"),
        ],
    ),
    "probe-path": (
        {
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
            "spec.template.spec.containers.1.livenessProbe.httpGet.path": "/ready",
        },
        [("probe-path", "spec.template.spec.containers[1].livenessProbe.httpGet", "error")],
    ),
    "probe-port": (
        {
            "spec.template.spec.containers.1.env.1.name": "PROBE_AGENT_PORT",
            "spec.template.spec.containers.1.env.1.value": "9191",
        },
        [
            ("probe-port", "spec.template.spec.containers[0].readinessProbe.httpGet", "error"),
            ("probe-port", "spec.template.spec.containers[0].startupProbe.httpGet", "error"),
            ("probe-port", "spec.template.spec.containers[1].livenessProbe.httpGet", "error"),
            ("probe-port", "spec.template.spec.containers[1].startupProbe.httpGet", "error"),
        ],
    ),
    "probe-timing": (
        {"spec.template.spec.containers.0.readinessProbe.timeoutSeconds": 6},
        [("probe-timing", "spec.template.spec.containers[0].readinessProbe.timeoutSeconds", "error")],
    ),
    "queue": (
        {
            "spec.template.spec.containers.0.env.3.value": "4",
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("queue", "spec.template.spec.containers[0].env[3]", "error")],
    ),
    "readiness-pace": (
        {
            "spec.template.spec.containers.0.readinessProbe.periodSeconds": 60,
            "spec.template.spec.containers.0.readinessProbe.failureThreshold": 3,
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("readiness-pace", "spec.template.spec.containers[0].readinessProbe", "warning")],
    ),
    "required.kind": (
        {
            "kind": "service",
            "spec.template.spec.containers.0.env.5": {"name": "OLLAMA_KV_CACHE_TYPE", "value": "f16"},
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("required", "kind", "error")],
    ),
    "required": (
        {
            "metadata.name": DELETE,
            "spec.template.spec.containers.1.image": DELETE,
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("required", "metadata", "error"), ("schema", "spec.template.spec.containers[1]", "error")],
    ),
    "reserved-path": (
        {
            "metadata.annotations.run~googleapis~com/description": "watched at https://ollama-gemma-abc.run.app/healthz",
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("reserved-path", 'metadata.annotations["run.googleapis.com/description"]', "warning")],
    ),
    "reserved-variable": (
        {
            "spec.template.spec.containers.0.env": [
                {"name": "OLLAMA_HOST", "value": "0.0.0.0:11434"},
                {"name": "OLLAMA_CONTEXT_LENGTH", "value": "8192"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
                {"name": "PORT", "value": "11434"},
                {"name": "OLLAMA_MAX_QUEUE", "value": "16"},
                {"name": "OLLAMA_KEEP_ALIVE", "value": "-1"},
            ],
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("reserved-variable", "spec.template.spec.containers[0].env[3]", "error")],
    ),
    "revision-bounds": (
        {
            "spec.template.spec.timeoutSeconds": 7200,
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("revision-bounds", "spec.template.spec.timeoutSeconds", "error")],
    ),
    "runtime-dir.differs": (
        {
            "spec.template.spec.containers.0.env.5": {"name": "RUNTIME_DIR", "value": "/run/ollama/own"},
            "spec.template.spec.containers.0.volumeMounts": [{"name": "runtime", "mountPath": "/run/ollama"}],
            "spec.template.spec.containers.1.env.1.name": "PROBE_AGENT_DEVICE",
            "spec.template.spec.containers.1.env.1.value": "gpu",
            "spec.template.spec.containers.1.env.2.name": "PROBE_AGENT_RUNTIME_DIR",
            "spec.template.spec.containers.1.env.2.value": "/run/ollama",
            "spec.template.spec.containers.1.volumeMounts": [{"name": "runtime", "mountPath": "/run/ollama"}],
            "spec.template.spec.volumes": [{"name": "runtime", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}],
        },
        [("runtime-dir", "spec.template.spec.containers[1].env[2]", "error")],
    ),
    "runtime-dir.ollama": (
        {
            "spec.template.spec.containers.0.env.5": {"name": "RUNTIME_DIR", "value": "/run/ollama"},
            "spec.template.spec.containers.0.volumeMounts": [{"name": "runtime", "mountPath": "/run/ollama"}],
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
            "spec.template.spec.containers.1.volumeMounts": [{"name": "runtime", "mountPath": "/run/ollama"}],
            "spec.template.spec.volumes": [{"name": "runtime", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}],
        },
        [("runtime-dir", "spec.template.spec.containers[1].env", "warning")],
    ),
    "runtime-dir": (
        {
            "spec.template.spec.containers.1.env.1.name": "PROBE_AGENT_RUNTIME_DIR",
            "spec.template.spec.containers.1.env.1.value": "/run/ollama",
        },
        [("runtime-dir", "spec.template.spec.containers[1].env[1]", "error")],
    ),
    "scale.order": (
        {
            "spec.template.metadata.annotations.autoscaling~knative~dev/minScale": "5",
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("scale", 'spec.template.metadata.annotations["autoscaling.knative.dev/minScale"]', "error")],
    ),
    "scale.quota": (
        {
            "spec.template.metadata.annotations.autoscaling~knative~dev/maxScale": "10",
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("scale", 'spec.template.metadata.annotations["autoscaling.knative.dev/maxScale"]', "warning")],
    ),
    "schema.name": (
        {
            "spec.template.spec.containers.0.startupProbe": DELETE,
            "spec.template.spec.containers.0.startupProb": {
                "httpGet": {"path": "/startup", "port": 9090},
                "periodSeconds": 10,
                "timeoutSeconds": 9,
                "failureThreshold": 23,
            },
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [
            ("schema", "spec.template.spec.containers[0].startupProb", "error"),
            ("startup-missing", "spec.template.spec.containers[0]", "error"),
        ],
    ),
    "schema.place": (
        {
            "spec.template.spec.containers.0.containerConcurrency": 8,
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("schema", "spec.template.spec.containers[0].containerConcurrency", "error")],
    ),
    "schema.quotes": (
        {
            "spec.template.metadata.annotations.autoscaling~knative~dev/maxScale": 3,
            "spec.template.metadata.annotations.run~googleapis~com/cpu-throttling": False,
            "spec.template.spec.containers.0.env": [
                {"name": "OLLAMA_HOST", "value": "0.0.0.0:11434"},
                {"name": "OLLAMA_CONTEXT_LENGTH", "value": 8192},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
                {"name": "OLLAMA_MAX_QUEUE", "value": "16"},
                {"name": "BUILT", "value": dt.date(2026, 11, 1)},
                {"name": "OLLAMA_KEEP_ALIVE", "value": -1},
            ],
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": 8.5},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": 230},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [
            ("schema", 'spec.template.metadata.annotations["autoscaling.knative.dev/maxScale"]', "error"),
            ("schema", 'spec.template.metadata.annotations["run.googleapis.com/cpu-throttling"]', "error"),
            ("schema", "spec.template.spec.containers[0].env[1].value", "error"),
            ("schema", "spec.template.spec.containers[0].env[4].value", "error"),
            ("schema", "spec.template.spec.containers[0].env[5].value", "error"),
            ("schema", "spec.template.spec.containers[1].env[2].value", "error"),
            ("schema", "spec.template.spec.containers[1].env[3].value", "error"),
        ],
    ),
    "schema.type": (
        {
            "spec.template.spec.containers.0.env.3.value": 16,
            "spec.template.spec.containers.0.readinessProbe.failureThreshold": "2",
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [
            ("schema", "spec.template.spec.containers[0].env[3].value", "error"),
            ("schema", "spec.template.spec.containers[0].readinessProbe.failureThreshold", "error"),
        ],
    ),
    "slots": (
        {
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
            ]
        },
        [("slots", "spec.template.spec.containers[1].env", "error")],
    ),
    "startup-agreement": (
        {
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
            "spec.template.spec.containers.1.startupProbe.periodSeconds": 20,
        },
        [
            ("startup-agreement", "spec.template.spec.containers[1].startupProbe", "error"),
            ("startup-budget", "spec.template.spec.containers[1].startupProbe", "warning"),
        ],
    ),
    "startup-asks-ollama": (
        {
            "spec.template.spec.containers.0.startupProbe.httpGet.path": "/",
            "spec.template.spec.containers.0.startupProbe.httpGet.port": 11434,
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [
            ("startup-agreement", "spec.template.spec.containers[1].startupProbe", "error"),
            ("startup-asks-ollama", "spec.template.spec.containers[0].startupProbe.httpGet", "error"),
        ],
    ),
    "startup-budget.cpu": (
        {
            "spec.template.spec.nodeSelector": DELETE,
            "spec.template.spec.containers.0.resources.limits.nvidia~com/gpu": DELETE,
            "spec.template.spec.containers.0.startupProbe.failureThreshold": 61,
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "610"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
            "spec.template.spec.containers.1.startupProbe.failureThreshold": 61,
        },
        [
            ("startup-budget", "spec.template.spec.containers[0].startupProbe", "error"),
            ("startup-budget", "spec.template.spec.containers[1].startupProbe", "error"),
        ],
    ),
    "startup-budget.gpu": (
        {
            "spec.template.spec.containers.0.startupProbe.failureThreshold": 200,
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "2000"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
            "spec.template.spec.containers.1.startupProbe.failureThreshold": 200,
        },
        [
            ("startup-budget", "spec.template.spec.containers[0].startupProbe", "error"),
            ("startup-budget", "spec.template.spec.containers[1].startupProbe", "error"),
        ],
    ),
    "startup-budget.older": (
        {
            "spec.template.spec.containers.0.startupProbe.failureThreshold": 30,
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "300"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
            "spec.template.spec.containers.1.startupProbe.failureThreshold": 30,
        },
        [
            ("startup-budget", "spec.template.spec.containers[0].startupProbe", "warning"),
            ("startup-budget", "spec.template.spec.containers[1].startupProbe", "warning"),
        ],
    ),
    "startup-hold": (
        {
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "9"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ]
        },
        [("startup-hold", "spec.template.spec.containers[1].env[2]", "error")],
    ),
    "startup-missing.ingress": (
        {
            "spec.template.spec.containers.0.startupProbe": DELETE,
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("startup-missing", "spec.template.spec.containers[0]", "error")],
    ),
    "startup-missing.sidecar": (
        {
            "spec.template.spec.containers.1.startupProbe": DELETE,
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("startup-missing", "spec.template.spec.containers[1]", "error")],
    ),
    "startup-tcp": (
        {
            "spec.template.spec.containers.0.startupProbe.httpGet": DELETE,
            "spec.template.spec.containers.0.startupProbe.tcpSocket": {"port": 11434},
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [
            ("startup-agreement", "spec.template.spec.containers[1].startupProbe", "error"),
            ("startup-tcp", "spec.template.spec.containers[0].startupProbe.tcpSocket", "error"),
        ],
    ),
    "startup-timeout": (
        {
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ]
        },
        [("startup-timeout", "spec.template.spec.containers[1].env", "error")],
    ),
    "traffic": (
        {
            "spec.traffic": [{"latestRevision": True, "percent": 90}],
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("traffic", "spec.traffic", "error")],
    ),
    "volume-missing": (
        {
            "spec.template.spec.containers.0.volumeMounts": [{"name": "model", "mountPath": "/models"}],
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("volume-missing", "spec.template.spec.containers[0].volumeMounts[0].name", "error")],
    ),
    "vpc-egress": (
        {
            "spec.template.metadata.annotations.run~googleapis~com/vpc-access-egress": "all-traffic",
            "spec.template.spec.containers.1.env": [
                {"name": "PROBE_AGENT_MODEL", "value": "gemma3:4b-it-qat@8192"},
                {"name": "PROBE_AGENT_DEVICE", "value": "gpu"},
                {"name": "PROBE_AGENT_STARTUP_HOLD_SECONDS", "value": "8.5"},
                {"name": "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", "value": "230"},
                {"name": "OLLAMA_NUM_PARALLEL", "value": "4"},
            ],
        },
        [("vpc-egress", 'spec.template.metadata.annotations["run.googleapis.com/vpc-access-egress"]', "error")],
    ),
}
