"""`ops up`: the local Cloud Run. It runs the containers of a service.yaml as processes on this machine.

It does what the platform documents: start order, startup probes with their numbers, an ingress that is
closed until they pass, `containerConcurrency`, liveness and readiness, SIGTERM and after 10 s SIGKILL.
What it does not do: restart a container (a failed one ends the run, with the reason), and scale out.
"""
