"""What the operator says of itself, in DataFlow's two languages."""

from __future__ import annotations

DESCRIPTIONS = {
    "en": """\
Describes regions of images: one caption for every region.

Input, one row per image:
- image: a path or URL; relative paths start at the working directory.
- bbox (optional): boxes as [[x, y, width, height], ...] in pixels. Rows without it have their regions found.

Config (ExistingBBoxDataGenConfig):
- max_boxes (10): maximum number of regions per picture.
- input_jsonl_path: rows to read in the place of the storage's step.
- output_jsonl_path: where the captions are written besides the next step.
- draw_visualization (True): keep the pictures with numbered boxes.
- settings: further settings of RegionCap by name, such as {"record_style": "joined", "dim": 0.8}.

run(storage, image_key="image", bbox_key="bbox", output_key="mdvp_record"):
reads the storage's step, draws the numbered boxes, asks the model, and writes the next step. Rows that cannot be
captioned go to ....rejects.jsonl beside the output, with the reason. Running again asks for nothing twice.

Output, one row per captioned image, with the input's other keys:
- mdvp_record: ["<region1> ...", "<region2> ..."]
- meta_info: type (with_bbox, without_bbox), bbox, normalized_bbox (x0, y0, x1, y1 from 0 to 1, padded with zeros to
  max_boxes), image_with_bbox, and more.
""",
    "zh": """\
为图像中的区域生成描述:每个区域一条。

输入,每行一张图像:
- image:路径或 URL;相对路径从当前工作目录算起。
- bbox(可选):像素坐标框 [[x, y, 宽, 高], ...]。没有框的行会自动寻找区域。

配置(ExistingBBoxDataGenConfig):
- max_boxes(10):每张图像最多的区域数。
- input_jsonl_path:代替 storage 当前步骤读取的输入文件。
- output_jsonl_path:除下一步骤文件外,另存描述结果的位置。
- draw_visualization(True):是否保留画有编号框的图像。
- settings:按名称给出的其他 RegionCap 设置,例如 {"record_style": "joined", "dim": 0.8}。

run(storage, image_key="image", bbox_key="bbox", output_key="mdvp_record"):
读取 storage 的当前步骤,画出编号框,请求模型,并写出下一步骤。无法描述的行连同原因写入输出旁边的
....rejects.jsonl。再次运行不会重复请求。

输出,每行一张已描述的图像,并保留输入的其他字段:
- mdvp_record:["<region1> ...", "<region2> ..."]
- meta_info:type(with_bbox、without_bbox)、bbox、normalized_bbox(0 到 1 的 x0, y0, x1, y1,补零至
  max_boxes)、image_with_bbox 等。
""",
}
