"""Who uses Redis: the services whose keys are written down."""

from deploy.deployment import SERVICES, variables


def test_who_is_given_redis() -> None:
    # accounting has one key, the stream of its news, so that nothing of it can cross slots; chat's
    # keys are watched in its test_redis_keys, as are those of any service that joins
    given = [service for service in SERVICES if "REDIS_URL" in variables(service)]
    assert given == ["accounting", "chat"]
