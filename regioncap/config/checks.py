"""What a valid config must satisfy beyond the range of each field. Every check raises ValueError naming the setting."""

from __future__ import annotations

import codecs
import fnmatch
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from regioncap.config.coordinates import FAMILIES
from regioncap.config.derived import DerivedSettings
from regioncap.config.image_rules import ImageRules
from regioncap.config.references import looks_secret
from regioncap.config.request_parts import check_body, check_no_credentials, keys_of, query_of
from regioncap.config.templates import template_names
from regioncap.records import META_KEY, shorten

NO_CAPTIONER = (
    "captioner: expected a way to caption, got none; choose one: "
    "--model Qwen/Qwen2.5-VL-7B-Instruct (starts vLLM on this machine's GPUs), "
    "--endpoint http://host:8000/v1 --model NAME (a running server), "
    "--captioner pixels (no model: states only what can be measured)"
)

ENDPOINT_SECRETS = (
    "keys come from REGIONCAP_API_KEY, api_keys or request_headers, and what follows the question mark goes into "
    "request_query"
)


def check_texts(config: DerivedSettings) -> None:
    """No setting may hold what no file or request can: a zero character, or half of a surrogate pair."""
    for name in type(config).model_fields:
        for text in _texts_in(getattr(config, name)):
            if "\0" in text or not _is_unicode(text):
                raise ValueError(f"{name}: expected text in Unicode without zero characters, got {shorten(text)}")


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts_in([*value.keys(), *value.values()])
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts_in(part)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_addresses(config: DerivedSettings) -> None:
    """The output must lie outside of the input; the S3 endpoint must be a URL without credentials."""
    if is_part_of(config.output, config.input):
        raise ValueError(
            f"output: expected a place outside of the input, got {config.output!r}, which is or lies in "
            f"{config.input!r}; choose another with --output"
        )
    if config.output.endswith((".gz", ".csv", ".parquet")):
        raise ValueError(f"output: expected a JSON Lines file (….jsonl), got {config.output!r}")
    if config.s3_endpoint_url is not None:
        check_url(config.s3_endpoint_url, "s3_endpoint_url", "http://host:9000", "keys come from the environment")


WRITTEN_BESIDE = ("jsonl", "rejects.jsonl", "runs.jsonl", "unused_edits.jsonl")
"""How the names of the JSON Lines files go on that a run writes beside its output."""


def check_edits(config: DerivedSettings) -> None:
    """The edits must be no rows of the input, and nothing that the run itself writes."""
    if not config.edits:
        return
    if is_part_of(config.edits, config.input):
        raise ValueError(
            f"edits: expected a file outside of the input, got {shorten(config.edits, 200)}, which is or lies in "
            f"{shorten(config.input, 200)}; its lines would be read as rows"
        )
    stem = config.output.removesuffix(".jsonl")
    written = [f"{stem}{variant}.{kind}" for variant in ("", ".incomplete") for kind in WRITTEN_BESIDE]
    if any(is_part_of(config.edits, place) for place in (config.output, *written)):
        raise ValueError(
            f"edits: expected a file that the run does not write, got {shorten(config.edits, 200)}; copy it to another "
            "name"
        )


def check_encoding(config: DerivedSettings) -> None:
    """The encoding of CSV files must be one that Python has."""
    if (name := config.csv_encoding) is None:
        return
    try:
        b"a".decode(name, "replace")
        codecs.getincrementaldecoder(name)("surrogateescape").decode(b"a")
    except (LookupError, ValueError):
        expected = "expected a text encoding, such as cp1251, cp1250, cp932, gb18030, cp949"
        raise ValueError(f"csv_encoding: {expected}, got {shorten(name)}") from None


def check_box_key(config: DerivedSettings) -> None:
    """Four columns hold one box, so each row of the table must be a box."""
    columns = config.box_columns
    if columns and (len(columns) != 4 or not all(columns)):
        raise ValueError(f"bbox_key: expected one key, or four columns a,b,c,d, got {config.bbox_key!r}")
    if columns and config.rows != "per_box":
        raise ValueError(
            f"bbox_key: four columns ({config.bbox_key}) hold one box per row; expected rows='per_box' with them"
        )


def check_output_key(config: DerivedSettings) -> None:
    """The captions must not replace what an output row has besides them: its image, its boxes, its `meta_info`."""
    taken = {"meta_info": META_KEY, "the image": config.image_key, "the boxes": config.bbox_key}
    for what, key in taken.items():
        if config.output_key in (key, key.partition(".")[0]):  # a path leads into the value of its first part
            raise ValueError(f"output_key: expected a key of its own, got {config.output_key!r}, which holds {what}")


def check_allowed_images(config: DerivedSettings) -> None:
    """Every entry must be something that can be allowed."""
    ImageRules.of(config.allowed_images)


def check_captioner(config: DerivedSettings) -> None:
    """The captioner must have what it requires, and nothing that it would ignore."""
    name = config.captioner_name
    if name == "auto":
        raise ValueError(NO_CAPTIONER)
    if name == "openai" and not config.endpoint and config.delivery != "file":
        raise ValueError("endpoint: expected the server's base URL, such as http://host:8000/v1, got none")
    if name != "pixels" and not config.own_captioner and not config.model:
        raise ValueError("model: expected the name of a vision-language model, got none; set it with --model")
    if name != "openai" and config.endpoint:
        raise ValueError(f"endpoint: captioner {config.captioner!r} uses none; remove one of the two")
    if name == "pixels" and config.repair_flags:
        raise ValueError(
            "repair_flags: captioner 'pixels' always gives the same caption; expected a model, or no repair_flags"
        )
    for url in config.endpoint:
        check_url(url, "endpoint", "http://host:8000/v1", ENDPOINT_SECRETS)


def check_plugins(config: DerivedSettings) -> None:
    """Plugins get no settings that they would ignore, and nothing but plugins has options."""
    own = {"extractor": config.own_extractor, "captioner": config.own_captioner}
    for kind, is_own in own.items():
        options = getattr(config, f"{kind}_options")
        if options and not is_own:
            raise ValueError(f"{kind}_options: only {kind}s of your own take any; remove them, or set {kind}")
        wrong = [name for name in options if not name.isidentifier()]
        if wrong:
            raise ValueError(f"{kind}_options: expected names of arguments, got {wrong[0]!r}")
        check_no_credentials(f"{kind}_options", options, "Have the plugin read it from an environment variable")
    if config.own_captioner:
        _check_own_captioner(config)


def _check_own_captioner(config: DerivedSettings) -> None:
    name = config.captioner
    if config.model and "model" in config.captioner_options:
        raise ValueError("model: it is in captioner_options, too; remove one of them")
    # Of the settings that decide how a model is asked, a plugin knows the prompts; the rest are options of its own.
    fields = type(config).model_fields
    for setting in config.fields_read_by("identity"):
        if getattr(config, setting) != fields[setting].default:
            raise ValueError(
                f"{setting}: captioner {name!r} is a plugin, which this does not reach; remove it, or pass what the "
                "plugin knows in captioner_options"
            )
    if config.max_usd is not None:
        raise ValueError(f"max_usd: captioner {name!r} is a plugin, which counts no tokens; set max_requests instead")


def check_requests(config: DerivedSettings) -> None:
    """What is added to requests must be well-formed, hold no secret, and have a request to be added to."""
    if config.captioner_name != "openai":
        for name in ("api_keys", "request_headers", "request_query", "ca_file"):
            if getattr(config, name):
                raise ValueError(f"{name}: only an endpoint needs it, and there is none; remove it")
    if config.request_body and not config.uses_model:
        raise ValueError(f"request_body: captioner {config.captioner!r} sends no requests; remove it")
    if config.api_keys and config.api_key_block:
        raise ValueError(
            "api_keys: expected either this or api_key_block, got both; block:NAME in api_keys does the same"
        )
    if config.api_key_block and looks_secret(config.api_key_block):
        raise ValueError(
            "api_key_block: expected the name of a Prefect Secret block, got what looks like the key itself"
        )
    keys_of(config.api_keys, len(config.endpoint))
    named = [name for name in config.headers if name.lower() == "authorization"]
    if named and (config.api_keys or config.api_key_block):
        raise ValueError("request_headers: the key is sent as Authorization; remove this header, or the key")
    query_of(config.request_query)
    check_body(config.request_body)


def check_prices(config: DerivedSettings) -> None:
    """A limit in dollars requires prices."""
    if config.max_usd is not None and config.prices is None:
        raise ValueError("max_usd: expected the prices usd_per_m_in and usd_per_m_out with it, got none")


def check_audit(config: DerivedSettings) -> None:
    """An audit requires captions that could be mixed up, and a least share an audit."""
    if config.min_consistent is not None and not config.audit_rows:
        raise ValueError("min_consistent: expected audit_rows with it, the number of rows to measure it on, got 0")
    if config.audit_rows and config.captioner_name == "pixels":
        raise ValueError(
            "audit_rows: captioner 'pixels' sees no numbers, so its captions always follow their boxes; expected a "
            "model, or audit_rows=0"
        )


def check_templates(config: DerivedSettings) -> None:
    """Every prompt must be a template, whether it is in use or not."""
    for name, text in config.templates.items():
        template_names(text, name)


def known_families() -> str:
    """The families of models whose coordinates are known, in words."""
    return ", ".join(family.name for family in FAMILIES)


def check_coordinates(config: DerivedSettings) -> None:
    """Boxes must be in a form that is known, and in a prompt."""
    if not config.uses_model or (config.coordinates == "none" and not config.gives_boxes):
        return
    if config.box_coordinates is None:
        raise ValueError(
            f"coordinates: which ones the model {config.model!r} was trained with is not known (known: "
            f"{known_families()}); expected px, 0-1 or 0-1000, with -yxyx where y comes first"
        )
    texts = config.templates_in_use()
    prompts = {name: text for name, text in texts.items() if name in ("prompt", "focal_prompt")}
    lists = any("regions" in template_names(text, name) for name, text in prompts.items())
    if not lists or "box" not in template_names(texts["region_prompt"], "region_prompt"):
        raise ValueError(
            f"coordinates: no prompt gives boxes; expected {{regions}} in {' or '.join(prompts)} and {{box}} in "
            "region_prompt, or prompt_mode='marks+coords' with their defaults"
        )


def check_runner(config: DerivedSettings) -> None:
    """A Dask cluster needs its address; other processes than the run's own need model servers that are there."""
    if config.runner != "dask" and config.dask_address is not None:
        raise ValueError(f"dask_address: runner {config.runner!r} uses none; set runner=dask, or remove dask_address")
    if config.runner != "processes" and config.processes is not None:
        raise ValueError(f"processes: runner {config.runner!r} uses none; set runner=processes, or remove processes")
    if config.runner == "threads":
        return
    if config.runner == "dask" and not config.dask_address:
        raise ValueError(
            "dask_address: expected the address of a Dask scheduler, such as tcp://host:8786, got none; "
            "`dask scheduler` and `dask worker tcp://host:8786` start a cluster"
        )
    if config.captioner_name == "vllm":
        raise ValueError(
            f"runner: {config.runner!r} cannot start vLLM, since every process would start its own. Start the servers "
            "with `regioncap serve-model MODEL --gpus all --host ADDRESS` on the machines with the GPUs, and pass the "
            "URLs that it prints with --endpoint"
        )


def check_url(url: str, field: str, example: str, secrets: str) -> None:
    """Raises ValueError for a `url` of the setting `field` that is none, or has what belongs elsewhere: `secrets`, in
    words."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none, a bracket too many
        valid = False
    if not valid or re.search(r"[\s\x00-\x1f\x7f]", url):
        shown = re.sub(r"//[^/]*@", "//…@", url.partition("?")[0])
        raise ValueError(f"{field}: expected a URL such as {example}, got {shorten(shown, 200)}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(
            f"{field}: expected a URL without user, password or query, got one for {parts.hostname}; {secrets}"
        )


def input_stem(url: str) -> str:
    """The name of an input, for its output: `s3://b/photos.jsonl.gz` is `photos`, `shots/*.csv` is `shots`.

    >>> input_stem("data/photos.jsonl.gz")
    'photos'
    """
    path = PurePosixPath(url.split("://", 1)[-1].split("?", 1)[0] if "://" in url else url)
    parts = [part for part in path.parts if part not in ("/", ".", "..")]
    fixed = [part for i, part in enumerate(parts) if not any(set(p) & set("*?[") for p in parts[: i + 1])]
    name = fixed[-1] if fixed else "input"
    return name.split(".")[0] or name.strip(".") or "input"


def is_part_of(address: str, source: str) -> bool:
    """Whether a file at `address` is the input `source`, or would be read as part of it by the next run."""
    file, whole = absolute(address), absolute(source)
    return file == whole or fnmatch.fnmatchcase(file, whole) or file.startswith(whole.rstrip("/") + "/")


def absolute(url: str) -> str:
    """`url` in a form that is the same however it is spelled: absolute and normalised if it is a path on disk."""
    path = url.removeprefix("file://")
    return path if "://" in path else str(Path(path).resolve())
