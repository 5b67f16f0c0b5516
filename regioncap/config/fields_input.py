"""The settings of what comes in: rows, regions, and the marks that show them to the model."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, WithJsonSchema

from regioncap.config.plugin_names import EXTRACTOR, plugin_name
from regioncap.config.request_parts import as_object
from regioncap.config.roles import Settings, setting

# In Prefect's form a text: an object would be a raw editor there.
JsonObject = Annotated[dict[str, Any], BeforeValidator(as_object), WithJsonSchema({"type": "string"})]
ExtractorName = Annotated[str, BeforeValidator(lambda value: plugin_name(value, EXTRACTOR))]
BoxFormat = Literal["xywh", "xyxy", "cxcywh"]
BoxUnit = Literal["px", "0-1", "0-100", "0-1000"]
BoxOrder = Literal["input", "area", "score"]
BoxSize = Literal["picture", "row"]


class InputSettings(Settings):
    """Which regions are captioned, and what the model sees of them."""

    # --- input
    input: str = setting(
        ...,
        "Input",
        "JSON Lines (.jsonl, .jsonl.gz), JSON array, COCO instances (.json), CSV, Parquet, WebDataset (.tar, .tar.gz), "
        "or a folder, a glob or braces ({000..999}.tar) of these or of images; a path or any fsspec URL.",
        "source",
        read_by=("box_form", "path"),
        validation_alias=AliasChoices("input", "input_jsonl_path", "first_entry_file_name"),
    )
    output: str = setting(
        "",
        "Output",
        "File for the captions, as JSON Lines; the rejects and the summary are written beside it. An output that "
        "ends in / is a folder with one part per shard, written as the shards finish. Default: "
        "STEM.regioncap.jsonl in the current folder, with the input's stem.",
        "place",
        heading="Input",
        read_by=("path",),
        validation_alias=AliasChoices("output", "output_jsonl_path"),
    )
    image_root: str | None = setting(
        None,
        "Image root",
        "Folder or URL that relative image paths start from. Default: the input's folder.",
        "source",
        read_by=("box_form", "path"),
    )
    image_key: str = setting(
        "image",
        "Image key",
        "The row's key with the path or URL of its image, or a list of one. Dots lead into the row, here as in all "
        "keys: image.path.",
        "source",
        read_by=("load", "write"),
    )
    csv_encoding: str | None = setting(
        None,
        "CSV encoding",
        "Encoding of CSV and TSV files, such as cp1251, cp932, gb18030. Default: detected, if it is UTF-8, UTF-16, "
        "UTF-32 or Windows-1252. A byte order mark takes precedence.",
        "source",
    )
    limit: int | None = setting(None, "Limit", "Read only the first N rows.", "source", ge=1)
    sample: int | None = setting(
        None, "Sample", "Read only N rows, selected by hash; a larger sample contains the smaller ones.", "source", ge=1
    )
    image_check: Literal["listing", "head", "never"] = setting(
        "listing",
        "Image check",
        "How a rerun detects changed images. listing: on S3 from the pages of its listings, elsewhere as head; head: "
        "from the size and time, or etag, of each image; never: not at all.",
        "source",
        read_by=("load",),
    )
    box_check: bool = setting(
        True,
        "Check box format",
        "Before the first run, check on the first 1,000 rows that the boxes have the given format and unit, and "
        "look for boxes under other keys. In longer inputs also check that every key that is named occurs in these "
        "rows.",
        "source",
    )

    # --- regions
    bbox_key: str = setting(
        "bbox",
        "Box key",
        "The row's key with its boxes, also inside an object or a list of objects (objects.bbox); for tables with one "
        "row per box also four columns: xmin,ymin,xmax,ymax.",
        "regions",
        read_by=("route", "write", "box_form"),
    )
    rows: Literal["per_image", "per_box"] = setting(
        "per_image",
        "Rows",
        "What a row of a table is: an image, or (per_box) one of its boxes; then all rows of an image, wherever they "
        "are, are merged into one.",
        "regions",
        read_by=("box_form",),
    )
    bbox_format: BoxFormat = setting(
        "xywh", "Box format", "Order of the four numbers of a box.", "regions", read_by=("normalize", "box_form")
    )
    bbox_unit: BoxUnit = setting(
        "px",
        "Box unit",
        "Unit of the boxes: pixels, or fractions (or percent, or thousandths) of the image's width and height.",
        "regions",
        read_by=("normalize", "box_form"),
    )
    box_size: BoxSize = setting(
        "picture",
        "Box size",
        "The picture that boxes refer to. picture: the image as displayed; row: one of the size that the row "
        "states (width and height, or image_width and image_height): boxes are scaled from it, and turned where "
        "only the EXIF orientation explains the difference.",
        "regions",
        read_by=("route", "write", "box_form"),
        when=lambda config: config.box_size != "picture",
    )
    empty_bbox: Literal["reject", "find"] = setting(
        "reject",
        "Empty box list",
        "What `[]` means: there is nothing to caption (reject the row), or regions are to be found.",
        "regions",
        read_by=("route",),
    )
    extractor: ExtractorName = setting(
        "edges",
        "Region finder",
        "What finds regions for rows without boxes: edges, canny, adaptive, vlm (a model is asked what `find` names), "
        "the name of an installed plugin, or the dotted path of a function or class of your own (my_pkg.yolo:find).",
        "regions",
        read_by=("extract",),
        examples=[*EXTRACTOR.known, EXTRACTOR.example],
    )
    extractor_options: JsonObject = setting(
        {},
        "Region finder options",
        'Arguments of a region finder of your own, as JSON: {"model": "/models/yolo.onnx", "confidence": 0.4}.',
        "regions",
        read_by=("extract", "secrets"),
        when=lambda config: bool(config.extractor_options),
    )
    min_score: float = setting(
        -3.0,
        "Minimum score",
        "Found regions that score below this are dropped (edges on photos, and plugins that give scores).",
        "regions",
        read_by=("extract",),
    )
    max_boxes: int = setting(
        10,
        "Regions per picture",
        "Maximum number of regions per picture.",
        "regions",
        read_by=("extract", "normalize"),
        ge=1,
        le=100,
    )
    box_order: BoxOrder = setting(
        "input",
        "Box order",
        "Order in which given boxes are numbered, and kept if there are more than `max_boxes`: input order, "
        "largest first, or best score first. Found regions keep their rank.",
        "regions",
        read_by=("normalize",),
        when=lambda config: config.box_order != "input",
    )
    score_key: str = setting(
        "scores",
        "Score key",
        "The row's key with a list of one score per box, for `box_order`.",
        "regions",
        read_by=("route",),
        when=lambda config: config.box_order == "score",
        min_length=1,
    )

    # --- marks
    marks_per_request: int = setting(
        10,
        "Marks per request",
        "Maximum number of marks per request. A picture with more regions is sent several times with some of its marks "
        "each, since models cannot read more of them.",
        "marks",
        read_by=("visualize",),
        when=lambda config: len(config.groups_of(config.max_boxes)) > 1,
        ge=1,
        le=100,
    )
    max_pixels: int = setting(
        1_003_520,
        "Picture size",
        "Maximum number of pixels of the picture that the model sees; larger images are scaled down.",
        "marks",
        read_by=("visualize", "drawing"),
        ge=4096,
    )
    dim: float = setting(
        1.0,
        "Dim",
        "Brightness of the picture under the marks, above 0 to 1 (unchanged). DataFlow's operator uses 0.8.",
        "marks",
        read_by=("visualize", "drawing"),
        when=lambda config: config.draws_marks,
        gt=0,
        le=1,
    )
