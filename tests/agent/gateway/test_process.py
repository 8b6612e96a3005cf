"""The agent with its gateway, as a process before a stand-in of Ollama."""

from pathlib import Path

import httpx

from lab.agent import AgentProcess
from lab.servers import LoopbackServer
from ops.standin import ScriptedEngine, ServedModel, StandIn

KEY = {"x-api-key": "0123456789abcdef"}


def test_requests_pass_through_a_deployed_agent(tmp_path: Path) -> None:
    """A key is asked for, an alias is served, a pull is refused, /metrics is open, SIGTERM ends it with status 0."""
    keys = tmp_path / "keys"
    keys.write_text("team 0123456789abcdef\n")
    app = StandIn(models=[ServedModel("m", num_ctx=2048, trained_context=8192)], engine=ScriptedEngine())
    settings = {"GATEWAY": "on", "GATEWAY_API_KEYS_FILE": str(keys), "GATEWAY_ALIASES": "gpt-4o-mini=m"}
    with LoopbackServer(app) as url, AgentProcess(url, **settings) as agent:
        agent.until("READY")
        assert agent.get("/api/version").status_code == 401
        assert httpx.get(f"http://127.0.0.1:{agent.port}/api/version", headers=KEY, trust_env=False).status_code == 200
        with httpx.Client(base_url=f"http://127.0.0.1:{agent.port}", headers=KEY, trust_env=False, timeout=10) as http:
            question = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello."}], "stream": False}
            answer = http.post("/v1/chat/completions", json=question)
            assert answer.json()["choices"][0]["message"]["content"]
            assert answer.headers["x-probe-agent-changed"] == "model=m"
            assert http.post("/api/pull", json={"model": "m"}).status_code == 403
        assert "probe_agent_gateway_waiting 0.0" in agent.get("/metrics").text
        assert agent.terminate() == 0
