"""The database stops under the running service: clear 503s, and recovery by itself."""

import asyncio
import time

from auth_builders import Auth, make_settings, run_auth
from pydantic import SecretStr

from aula_common.settings import MongoSettings
from aula_devstack.servers.mongo import Mongo

BOUND_SECONDS = 5


async def eventually_ready(auth: Auth) -> None:
    async with asyncio.timeout(30):
        while (await auth.http.get("/readyz")).status_code != 200:  # noqa: ASYNC110 - it is asked
            await asyncio.sleep(0.05)


async def test_outage_gives_bounded_503_and_ends_by_itself(mongo_server: Mongo) -> None:
    address = SecretStr(f"{mongo_server.url}aula_auth")
    mongo = MongoSettings(mongo_uri=address, mongo_timeout_seconds=1)
    async with run_auth(make_settings(mongo=mongo)) as auth:
        ada = await auth.person("ada")
        mongo_server.stop()
        started = time.monotonic()
        answers = await asyncio.gather(
            auth.login("ada"),
            auth.register("bob"),
            auth.refresh(ada.refresh_token),
            ada.get("/api/auth/me"),
            ada.get("/api/auth/me/sessions"),
            auth.http.get("/readyz"),
        )
        assert time.monotonic() - started < BOUND_SECONDS
        assert [answer.status_code for answer in answers] == [503] * len(answers)
        assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers)
        assert all(answer.json()["code"] == "unavailable" for answer in answers)
        form = {"grant_type": "refresh_token", "refresh_token": ada.refresh_token}
        answer = await auth.http.post("/api/auth/token", data=form)
        assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
        # what needs no database goes on, so that others can verify and call
        assert (await auth.http.get("/livez")).status_code == 200
        assert len((await auth.http.get("/api/auth/.well-known/jwks.json")).json()["keys"]) == 2
        assert (await auth.service_token()).status_code == 200
        mongo_server.start()
        await eventually_ready(auth)
        assert (await ada.get("/api/auth/me")).status_code == 200
        assert (await auth.refresh(ada.refresh_token)).status_code == 200
        assert (await auth.login("ada")).status_code == 200
