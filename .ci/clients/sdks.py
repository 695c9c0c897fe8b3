"""The SDKs of OpenAI, Anthropic, Google and Ollama list the gateway's models, page through
them, retrieve each, and raise their own error for one that there is not.

sdks.py ROOT LIST: ROOT is the gateway's address, LIST holds its list in OpenAI's form.
"""

import json
import pathlib
import sys
import urllib.parse

import anthropic
import httpx
import ollama
import openai
from google import genai
from google.genai import errors, types

root, listed = sys.argv[1], json.loads(pathlib.Path(sys.argv[2]).read_bytes())["data"]
models = {model["id"]: model for model in listed}
ids = list(models)
odd = [name for name in ids if set(name) & set(" %?#&+ü")]
assert len(ids) == len(listed) and len(ids) > 400 and len(odd) >= 6
ACME_ONLY, UNKNOWN = "demo-acme-only", "acme/no-such-model"
failed = False


def check(name, test):
    global failed
    try:
        said = test()
        print(f"ok   {name}{f': {said}' if said else ''}")
    except BaseException as error:  # one line a check, whatever it was
        failed = True
        print(f"FAIL {name}: {type(error).__name__}: {str(error)[:200]!r}")


def raises(kind, status, call):
    try:
        call()
    except kind as error:
        code = getattr(error, "status_code", None) or getattr(error, "code", None)
        assert code == status, code
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def same(got, expected):
    got = list(got)
    assert len(got) == len(set(got)), "some came twice"
    assert got == expected, sorted(set(got) ^ set(expected))[:5] or "in another order"
    return f"{len(got)} models"


# ===== openai =====

gpt = openai.OpenAI(base_url=f"{root}/v1", api_key="any", max_retries=0)
few = openai.OpenAI(base_url=f"{root}/v1", api_key=ACME_ONLY, max_retries=0)


def openai_retrieves():
    for name in ids:
        assert gpt.models.retrieve(name).to_dict() == models[name], name


def openai_view():
    seen = [model.id for model in few.models.list()]
    raises(openai.NotFoundError, 404, lambda: few.models.retrieve("cellar/ember:8b"))
    assert few.models.retrieve("acme/quill-3-mini").id == "acme/quill-3-mini"
    return same(seen, [name for name in ids if name.startswith("acme/") or name == "fast"])


def openai_chats():
    ask = dict(messages=[{"role": "user", "content": "hello"}])
    said = gpt.chat.completions.create(model="fast", **ask).choices[0].message.content
    assert "quill-5-nano" in said, said
    hidden = lambda: few.chat.completions.create(model="cellar/ember:8b", **ask)
    raises(openai.NotFoundError, 404, hidden)


check("openai lists", lambda: same((model.id for model in gpt.models.list()), ids))
check("openai retrieves every id", openai_retrieves)
check("openai raises NotFoundError", lambda: str(raises(
    openai.NotFoundError, 404, lambda: gpt.models.retrieve(UNKNOWN)).code))
check("openai sees its view", openai_view)
check("openai chats with what it sees", openai_chats)

# ===== anthropic =====

# The demo lists all of them for Anthropic's clients under names with `claude` in them, in
# the order of those names.
claude = sorted(name if "claude" in name else f"claude-{name}" for name in ids)
by_name = lambda name: name.encode()
claude.sort(key=by_name)
clients = {
    "x-api-key": anthropic.Anthropic(base_url=root, api_key="any", max_retries=0),
    "bearer": anthropic.Anthropic(base_url=root, auth_token="any", api_key=None, max_retries=0),
}


def anthropic_pages(client, limit):
    return same((model.id for model in client.models.list(limit=limit)), claude)


def anthropic_pages_back():
    got, before = [], claude[-1]
    client = clients["x-api-key"]
    while True:
        page = client.models.list(before_id=before, limit=50)
        got = [model.id for model in page.data] + got
        if not page.has_more:
            return same(got, claude[:-1])
        before = page.first_id


def anthropic_retrieves():
    client = clients["x-api-key"]
    for name in ids:
        assert client.models.retrieve(name).display_name == models[name].get("name", f"claude-{name}"), name
    for name in claude:
        assert client.models.retrieve(name).id == name


for way, client in clients.items():
    check(f"anthropic lists, {way}", lambda: anthropic_pages(client, anthropic.NOT_GIVEN))
for limit in (7, 100, 1000):
    check(f"anthropic pages by {limit}", lambda: anthropic_pages(clients["x-api-key"], limit))
check("anthropic pages back", anthropic_pages_back)
check("anthropic retrieves every id", anthropic_retrieves)
check("anthropic raises NotFoundError", lambda: raises(
    anthropic.NotFoundError, 404, lambda: clients["bearer"].models.retrieve(UNKNOWN)).body["error"]["type"])
check("anthropic sees its view", lambda: same(
    (model.id for model in anthropic.Anthropic(base_url=root, api_key=ACME_ONLY).models.list(limit=1000)),
    [name for name in claude if name.startswith("claude-acme/") or name == "claude-fast"]))

# ===== google-genai =====

gemini_ids = sorted(ids, key=by_name)


open_clients = []  # one that nobody holds any more closes what it lent out


def google(version, key="any"):
    options = types.HttpOptions(base_url=root, api_version=version)
    open_clients.append(genai.Client(api_key=key, http_options=options))
    return open_clients[-1]


def google_pages(version, size):
    pages = google(version).models.list(config={"page_size": size})
    return same((model.name.removeprefix("models/") for model in pages), gemini_ids)


def google_retrieves(version):
    client, refused = google(version), []
    for name in ids:
        # The SDK itself refuses these signs, and writes all others into the path as they are.
        if set(name) & set("?&"):
            raises(ValueError, None, lambda: client.models.get(model=name))
            refused.append(name)
            continue
        asked = urllib.parse.quote(name, safe="/:@") if set(name) & set("%#") else name
        assert client.models.get(model=asked).name == f"models/{name}", name
    assert len(refused) == 2, refused


for version in (None, "v1beta", "v1"):
    name = f"google-genai {version or 'as it comes'}"
    for size in (3, 50, 1000):
        check(f"{name} pages by {size}", lambda: google_pages(version, size))
    check(f"{name} retrieves every id", lambda: google_retrieves(version))
    check(f"{name} raises ClientError", lambda: raises(
        errors.ClientError, 404, lambda: google(version).models.get(model=UNKNOWN)).status)
check("google-genai sees its view", lambda: same(
    (model.name for model in google(None, ACME_ONLY).models.list()),
    [f"models/{name}" for name in gemini_ids if name.startswith("acme/") or name == "fast"]))

# ===== ollama =====

local = ollama.Client(host=root)


def ollama_shows():
    for name in ids:
        assert local.show(name) is not None
    context = local.show("bazaar/fernhill/moss-2").modelinfo
    assert 65536 in context.values(), context


check("ollama lists", lambda: same((model.model for model in local.list().models), ids))
check("ollama shows every model", ollama_shows)
check("ollama raises ResponseError", lambda: raises(
    ollama.ResponseError, 404, lambda: local.show(UNKNOWN)).error)
check("ollama sees its view", lambda: raises(
    ollama.ResponseError, 404,
    lambda: ollama.Client(host=root, headers={"authorization": f"Bearer {ACME_ONLY}"}).show("cellar/ember:8b")).error)

# ===== every id, as it stands and escaped, where no SDK stands between =====


def escaped(path, headers, key, named):
    with httpx.Client(trust_env=False, headers=headers) as client:
        for name in ids:
            for safe in ("", "/:@"):
                got = client.get(f"{root}{path}/{urllib.parse.quote(name, safe=safe)}")
                assert (got.status_code, got.json()[key]) == (200, named(name)), name


check("ids escaped and not, OpenAI's form", lambda: escaped("/v1/models", {}, "id", lambda name: name))
check("ids escaped and not, Anthropic's form", lambda: escaped(
    "/v1/models", {"anthropic-version": "2023-06-01"}, "id", lambda name: f"claude-{name}"))
check("ids escaped and not, Gemini's form", lambda: escaped(
    "/v1beta/models", {}, "name", lambda name: f"models/{name}"))
sys.exit(failed)
