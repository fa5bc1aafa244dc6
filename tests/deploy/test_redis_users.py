"""Who uses Redis: the service whose keys are written down and watched in its tests."""

from deploy.deployment import SERVICES, variables


def test_chat_alone_is_given_redis() -> None:
    # another that joins writes down its keys, and is watched like chat's test_redis_keys
    assert [service for service in SERVICES if "REDIS_URL" in variables(service)] == ["chat"]
