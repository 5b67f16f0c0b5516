"""The settings of the run: its limits, its places, what does the work, and the form of the results."""

from __future__ import annotations

from typing import Literal

from regioncap.config.fields_endpoint import EndpointSettings
from regioncap.config.fields_find import Names
from regioncap.config.roles import setting

MAX_IMAGE_BYTES = 256_000_000
IMAGE_TIMEOUT = 60.0
ALLOWED_IMAGES = ("local",)


class RunSettings(EndpointSettings):
    """Those of the captions and endpoints, and what changes none of them."""

    # --- limits
    max_in_flight: int | None = setting(
        None,
        "Max in flight",
        "Maximum number of concurrent requests, over all endpoints. Default: grows until the server queues requests.",
        "limits",
        read_by=("dask",),
        ge=1,
        le=16_384,
    )
    request_timeout: float = setting(120.0, "Request timeout", "Timeout of a request, in seconds.", "limits", gt=0)
    requests_per_minute: float | None = setting(
        None,
        "Requests per minute",
        "Maximum number of requests sent in a minute, over all endpoints. Default: no limit.",
        "limits",
        read_by=("dask",),
        gt=0,
    )
    tokens_per_minute: float | None = setting(
        None,
        "Tokens per minute",
        "Maximum number of tokens in a minute, of pictures, prompts and answers, over all endpoints; estimated "
        "from the average of earlier answers. Default: no limit.",
        "limits",
        read_by=("dask",),
        gt=0,
    )
    server_patience: float = setting(
        900.0,
        "Server patience",
        "How long to wait, in seconds, for a server that loads its model, is overloaded or is away. It is retried "
        "when it says, or with growing pauses.",
        "limits",
        ge=0,
    )
    max_requests: int | None = setting(
        None,
        "Max requests",
        "Stop the run after this many requests; a rerun resumes it, and may send as many again.",
        "limits",
        read_by=("dask",),
        ge=1,
    )
    max_usd: float | None = setting(
        None,
        "Max dollars",
        "Stop the run at this cost, in US dollars; requires `usd_per_m_in` and `usd_per_m_out`. A rerun resumes "
        "it, and may spend as much again.",
        "limits",
        read_by=("dask",),
        gt=0,
    )
    usd_per_m_in: float | None = setting(
        None, "Price of input", "US dollars per million prompt tokens.", "limits", ge=0
    )
    usd_per_m_out: float | None = setting(
        None, "Price of output", "US dollars per million completion tokens.", "limits", ge=0
    )
    max_image_pixels: int = setting(
        100_000_000,
        "Max image pixels",
        "Images with more pixels are rejected without being decoded.",
        "limits",
        read_by=("extract", "visualize"),
        ge=1,
    )
    max_image_bytes: int = setting(
        MAX_IMAGE_BYTES,
        "Max image bytes",
        "Image files with more bytes are rejected, whatever size they or their servers state.",
        "limits",
        read_by=("extract",),
        when=lambda config: config.max_image_bytes != MAX_IMAGE_BYTES,
        ge=1,
    )
    image_timeout: float = setting(
        IMAGE_TIMEOUT,
        "Image timeout",
        "Maximum time to read one image, in seconds, from the first request to the last byte.",
        "limits",
        read_by=("extract",),
        when=lambda config: config.image_timeout != IMAGE_TIMEOUT,
        gt=0,
        le=86_400,
    )
    allowed_images: Names = setting(
        ALLOWED_IMAGES,
        "Allowed images",
        "Which images rows may name. local: files outside of /proc, /sys and /dev, stores, and web servers except "
        "link-local and metadata addresses. strict: the input's folder or store, `image_root`, and public web "
        "servers. Further entries allow more: a folder (/data/photos), a URL (s3://bucket/), a host (10.0.0.5, "
        "*.example.org), a network (10.0.0.0/8), a protocol (sftp://).",
        "limits",
        read_by=("extract",),
        when=lambda config: config.allowed_images != ALLOWED_IMAGES,
    )
    max_reject_share: float = setting(
        0.5,
        "Max reject share",
        "Share of rejected rows, 0 to 1, above which the run fails; its output is then written beside the real "
        "one, as incomplete.",
        "limits",
        ge=0,
        le=1,
    )
    audit_rows: int = setting(
        0,
        "Audited rows",
        "Number of rows of each run that are requested again in other ways, to measure how far captions follow their "
        "regions; see `regioncap audit`. 0: none.",
        "limits",
        read_by=("audit",),
        when=lambda config: config.audit_rows > 0,
        ge=0,
        le=100_000,
    )
    min_consistent: float | None = setting(
        None,
        "Min consistent share",
        "Share of captions that must follow their regions, 0 to 1: the run fails if the whole interval of the audit of "
        "`audit_rows` lies below; its output is then written beside the real one, as incomplete. Default: any.",
        "limits",
        read_by=("audit",),
        when=lambda config: config.audit_rows > 0,
        ge=0,
        le=1,
    )
    retry_rejects: bool = setting(
        False,
        "Retry rejects",
        "Also retry rows that are on hold because the model failed them in three runs (refused, or never complete).",
        "limits",
    )
    on_config_change: Literal["auto", "recaption", "refuse"] = setting(
        "auto",
        "On changed settings",
        "What to do if the output's last run had other settings for its captions, or today's rules no longer accept "
        "some of them: recaption these, or refuse to run. auto: refuse in a deployment, else recaption.",
        "limits",
    )

    # --- a provider's batches, and files of requests
    delivery: Literal["online", "batch", "file"] = setting(
        "online",
        "Delivery",
        "online: each request is answered at once. batch: requests are submitted as the provider's batches, which take "
        "up to a day and cost less; for captioner 'openai' with one endpoint. file: they are written into files, for "
        "`vllm run-batch` and machines without a network, and results are read that are put beside these; it needs no "
        "endpoint.",
        "place",
    )
    batch_wait: float | None = setting(
        None,
        "Wait for batches",
        "How long a run stays until its batches are done, in seconds; then it ends as waiting, with exit code 75, and "
        "a rerun goes on. 0: it submits, collects what is done, and ends. Default: until all are done; with "
        "delivery=file 0.",
        "place",
        ge=0,
    )
    batch_rest: Literal["auto", "online", "batch"] = setting(
        "auto",
        "Rest of batches",
        "How captions are requested that a batch failed or did not get to: online, or by another batch or file, up to "
        "`max_repairs` times. auto: online; with delivery=file by another file, so that nothing is sent to any server.",
        "place",
    )
    batch_folder: str | None = setting(
        None,
        "Folder of request files",
        "Folder or URL into which delivery=file writes the files of requests, and where it looks for their results. "
        "Default: beside the output, out.requests for out.jsonl.",
        "place",
        read_by=("path",),
    )
    batch_max_requests: int = setting(
        50_000, "Requests per batch", "Maximum number of requests in a batch or file.", "place", ge=1, le=1_000_000
    )
    batch_max_bytes: int = setting(
        200_000_000,
        "Bytes per batch",
        "Maximum size of a batch's file of requests, in bytes: pictures included, as base64.",
        "place",
        ge=1_000,
    )
    batch_price: float = setting(
        0.5,
        "Price in batches",
        "What a token costs in a batch, as a share of `usd_per_m_in` and `usd_per_m_out`.",
        "limits",
        ge=0,
        le=1,
    )

    # --- vLLM, started by the run
    gpus: str = setting(
        "all",
        "GPUs",
        "GPUs to use: all, how many (2), which (0,1,3), or none for a CPU build of vLLM.",
        "place",
        heading="vLLM",
    )
    tensor_parallel_size: int = setting(
        1, "Tensor parallel size", "Number of GPUs that share one copy of the model.", "place", heading="vLLM", ge=1
    )
    max_model_len: int | None = setting(
        None,
        "Context length",
        "Context length in tokens. Default: what the largest picture and answer need.",
        "place",
        heading="vLLM",
        ge=256,
    )
    gpu_memory_utilization: float = setting(
        0.9,
        "GPU memory",
        "Fraction of each GPU's memory that vLLM may use, 0 to 1.",
        "place",
        heading="vLLM",
        gt=0,
        le=1,
    )
    vllm_args: str = setting(
        "",
        "Extra arguments",
        "Further arguments for vLLM, as on its command line: --dtype half.",
        "place",
        heading="vLLM",
    )
    vllm_python: str | None = setting(
        None,
        "vLLM's Python",
        "Python interpreter of the environment with vLLM. Default: this one.",
        "place",
        heading="vLLM",
    )

    # --- output
    output_key: str = setting(
        "mdvp_record", "Output key", "The row's key for its captions.", "look", read_by=("write",)
    )
    record_style: Literal["list", "joined"] = setting(
        "list",
        "Record style",
        "list: one string per region; joined: a list with one string of all regions, as DataFlow's operator writes it.",
        "look",
        read_by=("write",),
    )
    draw_visualization: bool = setting(
        True,
        "Keep marked pictures",
        "Keep the pictures with numbered boxes that the model saw.",
        "look",
        read_by=("visualize", "write"),
    )
    jpeg_quality: int = setting(
        85,
        "JPEG quality",
        "JPEG quality of the marked pictures, 1 to 100.",
        "look",
        read_by=("visualize",),
        ge=1,
        le=100,
    )
    report: bool = setting(
        False,
        "Report",
        "When the run is complete, write an HTML page beside the output, named .report.html instead of .jsonl.",
        "look",
    )
    report_rows: int = setting(
        2000, "Rows in the report", "Maximum number of pictures in the report.", "look", ge=1, le=20_000
    )
    page_pictures: int = setting(
        3,
        "Pictures on the run's page",
        "Number of marked pictures on the run's page in Prefect, as thumbnails with captions; 0 sends none.",
        "look",
        ge=0,
        le=20,
    )

    # --- run
    cache_path: str = setting(
        "./.regioncap",
        "Cache",
        "Folder or URL for step files, marked pictures and answers; may be shared.",
        "place",
        read_by=("path", "storage"),
    )
    file_name_prefix: str = setting(
        "regioncap",
        "Prefix",
        "Prefix of the step folders' names.",
        "place",
        read_by=("storage",),
        pattern=r"^[A-Za-z0-9._-]+$",
    )
    s3_endpoint_url: str | None = setting(
        None,
        "S3 endpoint",
        "URL of an S3-compatible store. Default: from the environment, else AWS.",
        "place",
        read_by=("storage",),
    )
    s3_region: str | None = setting(
        None,
        "S3 region",
        "Region of the S3 store, such as eu-central-1. Default: from the environment.",
        "place",
        read_by=("storage",),
    )
    storage_block: str | None = setting(
        None,
        "Storage block",
        "Prefect block with the storage's credentials, TYPE/NAME: remote-file-system/… or secret/… (JSON of fsspec "
        "options for s3). Default: credentials from the environment.",
        "place",
        read_by=("storage",),
    )
    shard_size: int = setting(1000, "Shard size", "Approximate number of rows per shard.", "place", ge=1, le=20_000)
    threads: int | None = setting(
        None,
        "Threads",
        "Number of threads for decoding and drawing, in each process. Default: together one per CPU.",
        "place",
        ge=1,
        le=256,
    )
    runner: Literal["threads", "processes", "dask"] = setting(
        "threads",
        "Runner",
        "What processes the shards: threads of this process; worker processes of this machine; or the workers of a "
        "Dask cluster. The last two require regioncap[dask].",
        "place",
    )
    processes: int | None = setting(
        None,
        "Processes",
        "Number of worker processes with runner 'processes'. Default: two per three CPUs, at least 2.",
        "place",
        ge=1,
        le=256,
    )
    dask_address: str | None = setting(
        None,
        "Dask address",
        "Address of the cluster's scheduler, such as tcp://host:8786. Every worker must be able to reach the input, "
        "the images and the cache.",
        "place",
    )
