# ruff: noqa: E501, RUF001 - replies as they come, and signs of many scripts, are meant here.
"""Replies of models that keep to no form, think aloud, correct themselves, or have nothing to say."""

from __future__ import annotations

import json

import pytest

from regioncap.captioners.reading.parsing import parse, read_reply

TWO = [1, 2]
BOTH = {1: "A dog.", 2: "A cat."}
LINES = "<region1>: A dog.\n<region2>: A cat."
DRAFT = "<region1>: A wolf.\n<region2>: A fox."

FORMS = [
    'Region #1 - A dog.\nRegion #2 - A cat.',
    'Bbox 1: A dog.\nBbox 2: A cat.',
    'Object 1 – A dog.\nObject 2 – A cat.',
    'R1: A dog.\nR2: A cat.',
    'r1 = A dog.\nr2 = A cat.',
    'R1. A dog.\nR2. A cat.',
    '**R1**: A dog.\n**R2**: A cat.',
    '1️⃣: A dog.\n2️⃣: A cat.',
    'Region I: A dog.\nRegion II: A cat.',
    'I. A dog.\nII. A cat.',
    'Region Ⅰ: A dog.\nRegion Ⅱ: A cat.',
    'Ⅰ. A dog.\nⅡ. A cat.',
    'Ｒｅｇｉｏｎ １： A dog.\nＲｅｇｉｏｎ ２： A cat.',
    '＜ｒｅｇｉｏｎ１＞： A dog.\n＜ｒｅｇｉｏｎ２＞： A cat.',
    'Region ١: A dog.\nRegion ٢: A cat.',
    'Region १: A dog.\nRegion २: A cat.',
    'المنطقة ١: A dog.\nالمنطقة ٢: A cat.',
    'क्षेत्र १: A dog.\nक्षेत्र २: A cat.',
    'क्षेत्र 1: A dog.\nक्षेत्र 2: A cat.',
    'พื้นที่ 1: A dog.\nพื้นที่ 2: A cat.',
    'ภาพที่ 1: A dog.\nภาพที่ 2: A cat.',
    'บริเวณที่ 1: A dog.\nบริเวณที่ 2: A cat.',
    'Vùng 1: A dog.\nVùng 2: A cat.',
    'Khu vực 1: A dog.\nKhu vực 2: A cat.',
    'Obszar 1: A dog.\nObszar 2: A cat.',
    'Region nr 1: A dog.\nRegion nr 2: A cat.',
    'Região 1: A dog.\nRegião 2: A cat.',
    'Região n.º 1: A dog.\nRegião n.º 2: A cat.',
    'Область 1: A dog.\nОбласть 2: A cat.',
    'Область №1: A dog.\nОбласть №2: A cat.',
    'Регион 1 — A dog.\nРегион 2 — A cat.',
    'Oblast 1: A dog.\nOblast 2: A cat.',
    'Bölge 1: A dog.\nBölge 2: A cat.',
    '1. bölge: A dog.\n2. bölge: A cat.',
    '1. Bereich: A dog.\n2. Bereich: A cat.',
    '1st region: A dog.\n2nd region: A cat.',
    'Region one: A dog.\nRegion two: A cat.',
    'First region: A dog.\nSecond region: A cat.',
    'The first marked region: A dog.\nThe second marked region: A cat.',
    'Bounding Box 1: A dog.\nBounding Box 2: A cat.',
    'BBox #1: A dog.\nBBox #2: A cat.',
    'Region-1: A dog.\nRegion-2: A cat.',
    'region_1: A dog.\nregion_2: A cat.',
    'region1 A dog.\nregion2 A cat.',
    'Region 01: A dog.\nRegion 02: A cat.',
    'Region 1 (red box): A dog.\nRegion 2 (blue box): A cat.',
    'Region 1 [red]: A dog.\nRegion 2 [blue]: A cat.',
    'Region 1, A dog.\nRegion 2, A cat.',
    'Region 1 : A dog.\nRegion 2 : A cat.',
    'Region 1; A dog.\nRegion 2; A cat.',
    'Region 1 | A dog.\nRegion 2 | A cat.',
    'Region 1\tA dog.\nRegion 2\tA cat.',
    '1\tA dog.\n2\tA cat.',
    'region1\tA dog.\nregion2\tA cat.',
    '1,A dog.\n2,A cat.',
    '1;A dog.\n2;A cat.',
    'region,caption\n1,"A dog."\n2,"A cat."',
    'region,caption\nregion1,"A dog."\nregion2,"A cat."',
    'id;caption\n1;"A dog."\n2;"A cat."',
    'region1,"A dog."\nregion2,"A cat."',
    '"region1","A dog."\n"region2","A cat."',
    '<region1>,"A dog."\n<region2>,"A cat."',
    'region1: "A dog."\nregion2: "A cat."',
    '- region1: A dog.\n- region2: A cat.',
    'regions:\n  region1: A dog.\n  region2: A cat.',
    'regions:\n  - region1: A dog.\n  - region2: A cat.',
    '- id: 1\n  caption: "A dog."\n- id: 2\n  caption: "A cat."',
    '---\nregion1: A dog.\nregion2: A cat.\n...',
    'region1: >\n  A dog.\nregion2: >\n  A cat.',
    'region1: >-\n  A dog.\nregion2: >-\n  A cat.',
    'regions:\n  - name: region1\n    description: A dog.\n  - name: region2\n    description: A cat.',
    '[regions]\nregion1 = "A dog."\nregion2 = "A cat."',
    '[region1]\ncaption = "A dog."\n\n[region2]\ncaption = "A cat."',
    '[[region]]\nid = 1\ncaption = "A dog."\n\n[[region]]\nid = 2\ncaption = "A cat."',
    '<regions><region1>A dog.</region1><region2>A cat.</region2></regions>',
    '<?xml version="1.0"?>\n<regions>\n  <region id="1">A dog.</region>\n  <region id="2">A cat.</region>\n</regions>',
    '<caption region="1">A dog.</caption>\n<caption region="2">A cat.</caption>',
    '<caption id="1">A dog.</caption>\n<caption id="2">A cat.</caption>',
    '<region><number>1</number><text>A dog.</text></region>\n<region><number>2</number><text>A cat.</text></region>',
    '<item id="1">A dog.</item>\n<item id="2">A cat.</item>',
    '<region_1>A dog.</region_1>\n<region_2>A cat.</region_2>',
    '<ol><li>A dog.</li><li>A cat.</li></ol>',
    '<ul>\n<li><b>Region 1</b>: A dog.</li>\n<li><b>Region 2</b>: A cat.</li>\n</ul>',
    '<dl><dt>Region 1</dt><dd>A dog.</dd><dt>Region 2</dt><dd>A cat.</dd></dl>',
    '<table><tr><td>1</td><td>A dog.</td></tr><tr><td>2</td><td>A cat.</td></tr></table>',
    '<h3>Region 1</h3>\n<p>A dog.</p>\n<h3>Region 2</h3>\n<p>A cat.</p>',
    '| # | Caption |\n|---|---|\n| 1 | A dog. |\n| 2 | A cat. |',
    '| Region | Description |\n|--------|-------------|\n| <region1> | A dog. |\n| <region2> | A cat. |',
    'Region | Caption\n--- | ---\n1 | A dog.\n2 | A cat.',
    '| Caption | Region |\n|---|---|\n| A dog. | 1 |\n| A cat. | 2 |',
    '| ID | Color | Caption | Conf |\n|---|---|---|---|\n| 1 | red | A dog. | 0.9 |\n| 2 | blue | A cat. | 0.8 |',
    '# Region 1\nA dog.\n# Region 2\nA cat.',
    '## 1\nA dog.\n## 2\nA cat.',
    '## 1. \nA dog.\n## 2. \nA cat.',
    '1. **Region 1**\n   - A dog.\n2. **Region 2**\n   - A cat.',
    '1. Region 1\n   A dog.\n2. Region 2\n   A cat.',
    '* Region 1\n  * A dog.\n* Region 2\n  * A cat.',
    '- **Region 1**\n  - **Caption**: A dog.\n- **Region 2**\n  - **Caption**: A cat.',
    '{"id": 1, "caption": "A dog."}\n{"id": 2, "caption": "A cat."}',
    '{"id": 1, "caption": "A dog."},\n{"id": 2, "caption": "A cat."}',
    '{\n  // the dog\n  "region1": "A dog.",\n  "region2": "A cat."\n}',
    '{\n  "region1": "A dog.", // the dog\n  "region2": "A cat." // the cat\n}',
    '{\n  "region1": "A dog.", # dog\n  "region2": "A cat."\n}',
    '{ /* all */ "region1": "A dog.", "region2": "A cat." }',
    '{"region1": "A dog.", "region2": "A cat.",}',
    "{'region1': 'A dog.', 'region2': 'A cat.'}",
    "{1: 'A dog.', 2: 'A cat.'}",
    '[["1", "A dog."], ["2", "A cat."]]',
    '[[1, "A dog."], [2, "A cat."]]',
    '[{"index": 1, "text": "A dog."}, {"index": 2, "text": "A cat."}]',
    '[{"region": "<region1>", "description": "A dog."}, {"region": "<region2>", "description": "A cat."}]',
    '[{"label": "region1", "caption": "A dog."}, {"label": "region2", "caption": "A cat."}]',
    '[{"label": "1", "text": "A dog."}, {"label": "2", "text": "A cat."}]',
    '{"region1": {"text": "A dog."}, "region2": {"text": "A cat."}}',
    '{"region1": ["A dog."], "region2": ["A cat."]}',
    '{"captions": [{"region": 1, "text": "A dog."}, {"region": 2, "text": "A cat."}]}',
    '{"captions": {"1": "A dog.", "2": "A cat."}}',
    '{"result": {"captions": {"region1": "A dog.", "region2": "A cat."}}}',
    '"{\\"region1\\": \\"A dog.\\", \\"region2\\": \\"A cat.\\"}"',
    '{"answer": "{\\"region1\\": \\"A dog.\\", \\"region2\\": \\"A cat.\\"}"}',
    '{"output": "<region1>: A dog.\\n<region2>: A cat."}',
    '{"text": "<region1>: A dog.\\n<region2>: A cat."}',
    '{"name": "caption_regions", "arguments": {"region1": "A dog.", "region2": "A cat."}}',
    '{"name": "caption_regions", "arguments": "{\\"region1\\": \\"A dog.\\", \\"region2\\": \\"A cat.\\"}"}',
    '<tool_call>{"name": "caption", "arguments": {"region1": "A dog.", "region2": "A cat."}}</tool_call>',
    '<|python_tag|>{"name": "x", "parameters": {"region1": "A dog.", "region2": "A cat."}}',
    '[TOOL_CALLS] [{"name": "x", "arguments": {"region1": "A dog.", "region2": "A cat."}}]',
    'caption_regions({"region1": "A dog.", "region2": "A cat."})',
    'print({"region1": "A dog.", "region2": "A cat."})',
    '```python\ncaptions = {\n    "region1": "A dog.",\n    "region2": "A cat.",\n}\n```',
    '```yaml\nregion1: A dog.\nregion2: A cat.\n```',
    '```xml\n<region1>A dog.</region1>\n<region2>A cat.</region2>\n```',
    'json\n{"region1": "A dog.", "region2": "A cat."}',
    '<region1>: A dog.\\n<region2>: A cat.',
    '<region1>: A dog. \\n\\n <region2>: A cat.',
    '&#60;region1&#62;: A dog.\n&#60;region2&#62;: A cat.',
    '&lt;region1&gt;: A dog.&lt;br&gt;&lt;region2&gt;: A cat.',
    '<region1>: A dog.<region2>: A cat.',
    '<region1>:A dog.<region2>:A cat.',
    'Region 1: A dog.Region 2: A cat.',
    'region1: A dog. region2: A cat.',
    'Region 1: A dog.; Region 2: A cat.',
    'Region 1: A dog. | Region 2: A cat.',
    'Region 1: A dog. / Region 2: A cat.',
    '<re\u200bgion1>: A dog.\n<region\u200b2>: A cat.',
    '\u202d<region1>: A dog.\u202c\n\u202d<region2>: A cat.\u202c',
    '<region1>: A dog.\r\n<region2>: A cat.\r\n',
    '<region1>: A dog.\u2028<region2>: A cat.',
    '<region\xa01>: A dog.\n<region\xa02>: A cat.',
    'Region\xa01\u202f: A dog.\nRegion\xa02\u202f: A cat.',
    'Final answer:\n<region1>: A dog.\n<region2>: A cat.',
    'Answer:\n{"region1": "A dog.", "region2": "A cat."}',
    'Let me describe each region:\n<region1>: A dog.\n<region2>: A cat.',
    'The regions are as follows.\n\n<region1>: A dog.\n\n<region2>: A cat.',
    'Thought for 3 seconds\n\n<region1>: A dog.\n<region2>: A cat.',
    'Thought for 3 s\n<region1>: A dog.\n<region2>: A cat.',
    '<details><summary>Thought for 3 s</summary>Region 1: wolf.</details>\n<region1>: A dog.\n<region2>: A cat.',
    '<region2>: A cat.\n<region1>: A dog.',
    '<region1>: A dog.\n<region2>: A cat.\n<region1>: A dog.\n<region2>: A cat.',
    '<region1>: A dog.\n\n\n<region2>: A cat.\n\n\n\nHope that helps! 😊',
]  # fmt: skip
"""Other ways to say of region 1 "A dog." and of region 2 "A cat."."""

THOUGHTS = [
    ('<think>', '</think>'),
    ('<thinking>', '</thinking>'),
    ('<reasoning>', '</reasoning>'),
    ('◁think▷', '◁/think▷'),
    ('[THINK]', '[/THINK]'),
    ('<seed:think>', '</seed:think>'),
    ('<thought>', '</thought>'),
    ('<reflection>', '</reflection>'),
    ('<analysis>', '</analysis>'),
    ('<|begin_of_thought|>', '<|end_of_thought|>'),
    ('<|START_THINKING|>', '<|END_THINKING|>'),
    ('<|inner_prefix|>', '<|inner_suffix|>'),
    ('<think >', '</think >'),
    ('<Think>', '</Think>'),
    ('&lt;think&gt;', '&lt;/think&gt;'),
    ('<mm:think>', '</mm:think>'),
    ('<|think|>', '<|/think|>'),
    ('[THINKING]', '[/THINKING]'),
    ('[reasoning]', '[/reasoning]'),
    ('<internal_monologue>', '</internal_monologue>'),
    ('<scratchpad>', '</scratchpad>'),
    ('\\<think\\>', '\\</think\\>'),
    ('〈think〉', '〈/think〉'),
    ('<chain-of-thought>', '</chain-of-thought>'),
    ('<planning>', '</planning>'),
    ('<draft>', '</draft>'),
    ('<longcat_think>', '</longcat_think>'),
    ('<|thought|>', '<|/thought|>'),
]  # fmt: skip

FINALLY = [
    'Final answer:',
    'Final:',
    'Corrected captions:',
    '**Final Answer**',
    '最终答案：',
    'Endgültige Antwort:',
    'Réponse finale :',
    'Respuesta final:',
    '最終回答：',
    '최종 답변:',
]  # fmt: skip

CORRECTIONS = [
    'Wait, region 2 is actually a bird.',
    'Actually, region 2 shows a bird.',
    'Correction: region 2 is a bird.',
    'Hmm, on second thought region 2 is a bird.',
    'Sorry, I mixed up regions 1 and 2.',
    'Oops, <region2> should be a bird.',
    'Edit: region 1 and 2 are swapped.',
    '更正：区域2是一只鸟。',
    'Korrektur: Bereich 2 ist ein Vogel.',
    'Wait — <region1> and <region2> are the other way round.',
    'Let me redo this.',
]  # fmt: skip

MERGED = [
    'Regions 1 and 2: Two dogs.',
    '<region1> and <region2>: Two dogs.',
    '1-2: Two dogs.',
    '1 & 2: Two dogs.',
    'Regions 1–2: Two dogs.',
    '<region1>/<region2>: Two dogs.',
    '<region1>-<region2>: Two dogs.',
    '<region1><region2>: Two dogs.',
    '<region1>\n<region2>: Two dogs.',
    'Region 1 & Region 2: Two dogs.',
    'Regions 1, 2: Two dogs.',
    'Region 1/2: Two dogs.',
    'Both regions show dogs.',
    '1 and 2: Two dogs.',
    '1, 2: Two dogs.',
    '(1, 2) Two dogs.',
    '[1-2] Two dogs.',
    '区域1和2：两只狗。',
    '区域1、区域2：两只狗。',
    '領域1と2：犬。',
    'Bereiche 1 und 2: Zwei Hunde.',
    'Régions 1 et 2 : Deux chiens.',
    'Regiones 1 y 2: Dos perros.',
    'Области 1 и 2: Две собаки.',
    '<region1,2>: Two dogs.',
    '<region1-2>: Two dogs.',
    '{"region1, region2": "Two dogs."}',
    '{"region1-2": "Two dogs."}',
    '{"1,2": "Two dogs."}',
    '{"regions": [1, 2], "caption": "Two dogs."}',
    '[{"region": "1 and 2", "caption": "Two dogs."}]',
    '<region12>: Two dogs.',
    '{"region12": "Two dogs."}',
]  # fmt: skip
"""One text for two regions."""

NOTHING = [
    "I'm sorry, but I can't identify people in images.",
    'I apologize, but I cannot describe this image.',
    'As an AI language model, I cannot see images.',
    "As a large language model, I don't have eyes.",
    "I'm not able to view the image.",
    "I can't see region 2.",
    'I cannot make out what is in region 1.',
    'Unable to process the image.',
    'The image appears to be blank.',
    'The image is too blurry to describe.',
    'The region is too small to describe.',
    "It's too dark to see anything.",
    'No description available.',
    'No caption available.',
    'Content not available.',
    'Image not available.',
    'Cannot determine.',
    'Not clear.',
    'Unclear.',
    'Unidentifiable object.',
    'Nothing.',
    'Not visible.',
    'Not visible in the image.',
    'N/A',
    'n/a.',
    'NA',
    'None',
    'None.',
    'null',
    'unknown',
    'Unknown.',
    'Unknown object',
    'same as above',
    'Same as above.',
    'Same as region 1.',
    'Same as <region1>.',
    'See above.',
    'See region 1.',
    'Ditto.',
    'ditto',
    'As above.',
    '(same)',
    '""',
    "''",
    '...',
    '…',
    '….',
    '[...]',
    '<...>',
    '<text>',
    '<caption>',
    '<description>',
    '[caption]',
    '[description]',
    '{caption}',
    '{description}',
    'text',
    'caption',
    'Caption',
    'description',
    'description here',
    'Caption here',
    'caption goes here',
    'Your caption here',
    '[Your description here]',
    '<your caption here>',
    'A short description.',
    '<short description>',
    'lorem ipsum',
    'Lorem ipsum dolor sit amet.',
    'TODO',
    'TBD',
    'to be determined',
    '???',
    '?',
    '-',
    '—',
    '_',
    '*',
    '**',
    'xxx',
    'XXX',
    'string',
    'String',
    '"string"',
    'placeholder',
    'Placeholder text',
    'empty',
    '(empty)',
    '(none)',
    '[none]',
    '(no description)',
    'no object',
    'No object',
    'No region',
    'region1',
    '<region1>',
    'Region 1',
    'region',
    '1',
    '2.',
    '<image>',
    '[image]',
    '![image](x.png)',
    'image.png',
    'data:image/png;base64,iVBORw0KGgo',
    'https://example.com/a.png',
    'true',
    'false',
    'undefined',
    'NaN',
    '[object Object]',
    'function',
    'error',
    'Error',
    'Error: timeout',
    'Internal Server Error',
    '502 Bad Gateway',
    'Request timed out',
    'Rate limit exceeded',
    'Too many requests',
    'Content filtered',
    '[content filtered]',
    '[REDACTED]',
    "I'm Claude, an AI assistant.",
    'I am an AI assistant developed by X.',
    'Hello! How can I help you today?',
    'Hi there!',
    'How can I assist you?',
    'What would you like to know?',
    'Could you clarify what you mean?',
    'Which region do you mean?',
    'Please provide more context.',
    'Please upload the image.',
    'Please specify.',
    'Sure!',
    'Okay.',
    'OK',
    'Yes.',
    'Done.',
    'Here you go.',
    'Here is the caption:',
    'Understood.',
    'Answer with one line for each region and nothing else, in this form:',
    '<region1>: …',
    'A clear caption for the region',
    'One sentence.',
    '抱歉，我无法识别图片中的人物。',
    '很抱歉，无法查看图片。',
    '作为AI，我不能描述。',
    '我看不到区域2。',
    '看不清',
    '看不清楚。',
    '无法辨认。',
    '无法识别',
    '不可见',
    '未知',
    '未知。',
    '无',
    '没有',
    '同上',
    '同上。',
    '描述',
    '图片描述',
    '此处填写描述',
    '（无）',
    '无描述',
    '不清楚',
    '申し訳ありませんが、画像を表示できません。',
    '画像が見えません。',
    '不明',
    '不明です。',
    '見えません',
    '判別できません。',
    '同上',
    '説明',
    'なし',
    '該当なし',
    '죄송하지만 이미지를 볼 수 없습니다.',
    '알 수 없음',
    '알 수 없음.',
    '보이지 않음',
    '위와 같음',
    '설명',
    '없음',
    '확인할 수 없습니다.',
    'Ich kann das Bild leider nicht sehen.',
    'Leider kann ich diese Person nicht identifizieren.',
    'Unbekannt',
    'unbekannt.',
    'Nicht sichtbar.',
    'Nicht erkennbar.',
    'Siehe oben.',
    'Wie oben.',
    'Keine Angabe',
    'k. A.',
    'Beschreibung',
    'Kein Bild vorhanden.',
    'Désolé, je ne peux pas identifier cette personne.',
    "Je ne peux pas voir l'image.",
    'Inconnu',
    'Non visible.',
    'Pas visible.',
    'Idem',
    'Voir ci-dessus.',
    'Comme ci-dessus.',
    'Sans objet',
    'Aucune description disponible.',
    'Lo siento, no puedo identificar a la persona.',
    'No puedo ver la imagen.',
    'Desconocido',
    'No visible.',
    'No se ve.',
    'Igual que arriba.',
    'Ver arriba.',
    'Ninguno',
    'Sin descripción.',
    'No disponible.',
    'Desculpe, não posso ver a imagem.',
    'Não consigo identificar.',
    'Desconhecido',
    'Não visível.',
    'Igual ao anterior.',
    "Mi dispiace, non posso vedere l'immagine.",
    'Non riesco a vedere.',
    'Sconosciuto',
    'Non visibile.',
    'Come sopra.',
    'Извините, я не могу описать изображение.',
    'К сожалению, я не вижу изображения.',
    'Неизвестно',
    'Не видно.',
    'Нет данных',
    'То же самое.',
    'Как указано выше.',
    'Описание',
    'آسف، لا أستطيع رؤية الصورة.',
    'عذراً، لا يمكنني وصف الصورة.',
    'غير معروف',
    'غير مرئي',
    'मुझे खेद है, मैं छवि नहीं देख सकता।',
    'क्षमा करें, मैं मदद नहीं कर सकता।',
    'अज्ञात',
    'Przepraszam, nie mogę opisać obrazu.',
    'Niestety nie widzę obrazu.',
    'Nieznane',
    'Niewidoczne.',
    'Xin lỗi, tôi không thể xem hình ảnh.',
    'Không rõ',
    'Không thấy.',
    'ขออภัย ฉันไม่สามารถดูรูปภาพได้',
    'ไม่ทราบ',
    'มองไม่เห็น',
    'Het spijt me, ik kan de afbeelding niet zien.',
    'Sorry, ik kan niet helpen.',
    'Onbekend',
    'Niet zichtbaar.',
    'Üzgünüm, görüntüyü göremiyorum.',
    'Bilinmiyor',
    'Maaf, saya tidak dapat melihat gambar.',
    'Tidak diketahui',
    'Omlouvám se, ale nemohu.',
    'Jag kan tyvärr inte se bilden.',
    'Okänd',
    'Beklager, jeg kan ikke se bildet.',
    'Valitettavasti en voi nähdä kuvaa.',
    'Sajnálom, nem látom a képet.',
    'Λυπάμαι, δεν μπορώ να δω την εικόνα.',
    'סליחה, אני לא יכול לראות את התמונה.',
    'Вибачте, я не бачу зображення.',
    'Îmi pare rău, nu pot vedea imaginea.',
]  # fmt: skip
"""No caption at all, or the words of one."""

NUMBERED = [
    '<region{}>: ',
    'Region {}: ',
    '{}. ',
    '[{}] ',
    '({}) ',
    'Box {} - ',
    '#{}: ',
    '区域{}：',
    'R{}: ',
    'Object {}: ',
    'bbox_{}: ',
    '{} - ',
    'Region {}\n',
    '{}) ',
    'Zone {} : ',
    'Item #{}: ',
    'id={}: ',
]  # fmt: skip

NUMBER_FIELDS = [
    'id',
    'region',
    'index',
    'label',
    'number',
    'region_id',
    'box',
    'bbox_id',
    'object_id',
    'idx',
    'n',
]  # fmt: skip

NATURAL = [
    'A UPS delivery truck is parked on the street.',
    'Wait staff carry plates of food.',
    'The area is empty except for a bench.',
    'A crystal ball on a stand.',
    'Hello Kitty plush toy on a bed.',
    'No parking sign next to a driveway.',
    'No people are visible; the street is empty.',
    'Nothing but sand and sky.',
    'An unknown man in a hat.',
    'Unknown soldier memorial with flowers.',
    'Same-sex couple holding hands.',
    'Text on a sign reads "EXIT".',
    'Text painted on a wall.',
    'Image of a dog on a T-shirt.',
    'Picture of a lighthouse in a frame.',
    'Description board at the museum.',
    'Caption contest poster.',
    'Blank white wall behind the sofa.',
    'Empty chairs in a row.',
    'Error message on a computer screen.',
    'Region map on a wall.',
    'Objects on a shelf: vases and books.',
    'Sure Jell box.',
    'Please close the gate, says a sign.',
    'Thank you card with flowers.',
    'If you look closely, a bird sits on the branch.',
    'Let me in: a cat scratches at a glass door.',
    'Would-be surfer carrying a board.',
    'Now Hiring sign in a shop window.',
    'Next door stands a red house.',
    'Note pinned to a corkboard.',
    'Hope, a mural by a street artist.',
    'These two men shake hands.',
    'This picture shows a man.',
    'The image shows a man riding a horse.',
    'The picture on the wall is crooked.',
    'The photo is black and white: a bride.',
    'Both dogs look at the camera.',
    'All of the seats are taken.',
    'All areas of the field are covered by snow.',
    'Each box holds an apple.',
    'Each of the boxes is labelled.',
    'Here a man plays the guitar.',
    'Based on its color, a ripe banana.',
    'From the left, a train arrives.',
    'One, two, three: dice on a table.',
    'First aid kit on a wall.',
    'Second-hand bicycles in a row.',
    'First: gold medal winner on the podium.',
    '3 people walk.',
    '3. floor button in an elevator.',
    '7-Eleven store at night.',
    '42 is written on the shirt.',
    '1. FC Köln scarf.',
    'Box of chocolates.',
    'Box 5 of the form is ticked.',
    'Frame 2 of a comic strip.',
    'Area 51 sign.',
    'Number 10 Downing Street door.',
    'Part 1 of a book lies open.',
    'Section 3 of the stadium.',
    'A: the letter on a block.',
    "Object d'art on a shelf.",
    'R2-D2 stands next to C-3PO.',
    "Mark Twain's portrait.",
    'Mark 1 tank in a museum.',
    'Item on sale: a red dress.',
    'Label on a bottle: "Vino 2019".',
    'Tag hanging from a shirt, $9.99.',
    'A man (left) and woman (right).',
    'A sign: "Stop"; a car waits.',
    'A woman - smiling - waves.',
    '"Open" sign in red neon.',
    "'Quoted' graffiti.",
    'A price tag of $5 & a coupon.',
    'A T&C notice.',
    "A child's drawing of a house; a sun above it; grass below.",
    'A menu with prices: 1. Soup 2. Salad.',
    'A list on a board: 1) eggs 2) milk.',
    'A man says: "I can\'t."',
    'I Love NY T-shirt.',
    'I-beam at a construction site.',
    "It's a dog.",
    'It is not clear glass but frosted.',
    'It is a small cat.',
    'It looks like a cat that sleeps.',
    'There is no snow on the mountain.',
    'There are no people on the beach.',
    'There is a dog.',
    'You are here map.',
    'Can of soda.',
    'Could be a cat behind the curtain.',
    'Your name here engraved on a mug.',
    'Do not enter sign.',
    "Don't walk signal.",
    'Final score on the scoreboard: 3-1.',
    'Final exam papers on a desk.',
    'Answer key on a table.',
    'Output of a printer, a stack of paper.',
    'Updated: clock display.',
    'Step 1 of a recipe card.',
    'Thinking man statue.',
    'Thoughts of a child in a bubble.',
    'Analysis lab with microscopes.',
    'Reason magazine cover.',
    'Draft beer in a glass.',
    'Actually a toy, this car is tiny.',
    'Not a cloud in the sky.',
    'Invisible man costume.',
    'Ditto, a pink Pokémon.',
    'Sample of fabric.',
    'Example of graffiti.',
    'XXX hot sauce bottle.',
    'OK hand sign.',
    'None of the seats is taken.',
    'True-color globe.',
    'Null Island map.',
    'Nan bread on a plate.',
    'Nil score board.',
    '一只棕色的狗在草地上。',
    '修正液放在桌上。',
    '一个人在等等待区。',
    '无人机在天空飞行。',
    '没有人的海滩。',
    '不明飞行物的模型。',
    '描述一只猫的海报。',
    '请勿停车的标志。',
    '如果是晴天，山很清楚。',
    '您好字样的招牌。',
    '水晶球放在桌子上。',
    '수정 구슬이 탁자 위에 있다.',
    '다시마 국물 한 그릇.',
    '없어진 고양이 포스터.',
    '감사 카드가 놓여 있다.',
    'Wartende Menschen an einer Haltestelle.',
    'Leider-Schild an einer Tür.',
    'Kein Eingang, steht auf dem Schild.',
    'Momentaufnahme eines Springers.',
    'Keine Parkplätze, sagt ein Schild.',
    'Ein Kind.',
    'Le chien dort.',
    "Pas de porte d'un magasin.",
    'Aucune voiture dans la rue.',
    'Si près, un oiseau.',
    'No hay nadie en la playa.',
    'Ver de cerca una flor.',
    'Nada en la mesa salvo un vaso.',
    'Se ve un perro en la playa.',
    'Posso vedere un cane.',
    'Нет людей на пляже.',
    'Не курить, гласит знак.',
    'Описание товара на коробке.',
    'Brak samochodów na ulicy.',
    '犬が寝ている。',
    'なしの木の下の犬。',
    '不明な文字が書かれた看板。',
    '以上の階段を上る人。',
    'もし雨が降れば、傘を持つ人。',
]  # fmt: skip
"""Captions that begin as something else might."""


@pytest.mark.parametrize("text", FORMS)
def test_both_are_found(text: str) -> None:
    assert parse(text, TWO) == BOTH


@pytest.mark.parametrize(("opened", "closed"), THOUGHTS)
def test_thoughts_are_no_answer(opened: str, closed: str) -> None:
    assert parse(f"{opened}\n{DRAFT}\n{closed}\n{LINES}", TWO) == BOTH
    assert parse(f"{DRAFT}{closed}\n{LINES}", TWO) == BOTH  # the template wrote the opening one
    assert parse(f"{opened}{opened}{DRAFT}{closed}x{closed}{LINES}", TWO) == BOTH
    assert parse(f"{opened}A wolf perhaps.{closed}A dog.", [1]) == {1: "A dog."}
    assert parse(f"<region1>: {opened}A wolf?{closed}A dog.\n<region2>: A cat.", TWO) == BOTH
    assert (
        parse(f'{opened}{{"region1": "A wolf."}}{closed}' + json.dumps({"region1": "A dog.", "region2": "A cat."}), TWO)
        == BOTH
    )
    for text in (f"{opened}{DRAFT}", f"{opened}\n" + json.dumps({"region1": "A wolf.", "region2": "A fox."})):
        assert parse(text, TWO) == {}
    assert set(parse(f'{{"region1": "{opened}A wolf", "region2": "A cat."}}'.replace("\\", "\\\\"), TWO)) <= {2}


@pytest.mark.parametrize(
    "heading",
    [
        "Thinking Process:\n\n1. **Look**: A wolf?\n2. **Draft**: A fox.",
        "Thinking...\nA wolf?\nA fox?",
        "**Reasoning:** In region 1 I see a wolf.",
        "Analysis:\nRegion 1: wolf?\nRegion 2: fox?",
        "思考过程：\n区域1：狼？\n区域2：狐？",
    ],
)
def test_thoughts_under_a_heading_need_a_heading_of_the_answer(heading: str) -> None:
    assert parse(heading, TWO) == {}
    assert parse(heading, [1]) == {}
    assert parse(f"{heading}\n\nFinal answer:\n{LINES}", TWO) == BOTH
    assert parse(f"{heading}\n\n**Answer:**\n{LINES}", TWO) == BOTH


@pytest.mark.parametrize("finally_", FINALLY)
def test_the_final_answer_counts(finally_: str) -> None:
    assert parse(f"{DRAFT}\n\n{finally_}\n{LINES}", TWO) == BOTH
    assert parse(f"{DRAFT}\n\n{finally_}\n<region1>: A dog.", TWO) == {1: "A dog."}
    assert parse(f"A wolf. {finally_} A dog.", [1]) in ({1: "A dog."}, {})
    assert parse(f"{DRAFT}\n\n{finally_}\n", TWO) == {}


@pytest.mark.parametrize(
    "text", [f"{DRAFT}\n\n---\n\n{LINES}", f"{DRAFT}\n{LINES}", f"{DRAFT}\n\nSecond attempt:\n<region1>: A dog."]
)
def test_two_rounds_without_a_word_are_in_doubt(text: str) -> None:
    assert parse(text, TWO) == {}


@pytest.mark.parametrize("correction", CORRECTIONS)
def test_what_is_taken_back_is_no_caption(correction: str) -> None:
    assert parse(f"{LINES}\n\n{correction}", TWO) == {}
    assert parse(f"{LINES} {correction}", TWO) == {}
    assert parse(f"A wolf. {correction} A dog.", [1]) == {}
    assert set(parse(json.dumps({"region1": f"A dog. {correction}", "region2": "A cat."}), TWO)) <= {2}


@pytest.mark.parametrize("text", MERGED)
def test_one_text_for_two_regions_is_neithers(text: str) -> None:
    for reply, wanted in (
        (text, TWO),
        (text, [1]),
        (f"{text}\n<region3>: A bird.", [1, 2, 3]),
        (f"<region3>: A bird.\n{text}", [1, 2, 3]),
    ):
        assert set(parse(reply, wanted)) <= {3}


@pytest.mark.parametrize("text", NOTHING)
def test_no_text_is_made_a_caption_that_says_nothing(text: str) -> None:
    assert parse(text, [1]) == {}
    for reply in (f"<region1>: {text}\n<region2>: A cat.", json.dumps({"region1": text, "region2": "A cat."})):
        assert set(parse(reply, TWO)) <= {2}


@pytest.mark.parametrize("text", NATURAL)
def test_captions_are_kept_whatever_they_begin_with(text: str) -> None:
    assert parse(f"<region1>: {text}\n<region2>: A cat.", TWO) == {1: text, 2: "A cat."}
    assert parse(json.dumps({"region1": text, "region2": "A cat."}), TWO) == {1: text, 2: "A cat."}


@pytest.mark.parametrize("label", NUMBERED)
def test_numbers_that_do_not_fit(label: str) -> None:
    def told(*numbers: int) -> str:
        return "\n".join(
            label.format(n) + text for n, text in zip(numbers, ("A dog.", "A cat.", "A bird."), strict=False)
        )

    assert parse(told(1, 2), TWO) == BOTH
    for numbers in ((0, 1), (0, 1, 2), (2, 3), (10, 20)):
        assert parse(told(*numbers), TWO) == {}, numbers
    assert parse(told(1, 2), [3, 4]) == {}
    assert parse(told(1), [2]) == {}
    assert set(parse(told(1, 1), TWO)) == set()
    assert set(parse(told(1, 2, 2), TWO)) <= {1}


@pytest.mark.parametrize("name", NUMBER_FIELDS)
def test_fields_that_number_are_never_ignored(name: str) -> None:
    def told(*numbers: int | str) -> str:
        return json.dumps([{name: n, "caption": text} for n, text in zip(numbers, ("A dog.", "A cat."), strict=False)])

    assert parse(told(1, 2), TWO) == BOTH
    assert parse(told("1", "2"), TWO) == BOTH
    for numbers in ((0, 1), (2, 3), (5, 6), ("1 and 2", "3"), (0,)):
        assert parse(told(*numbers), TWO[: len(numbers)]) == {}, numbers


@pytest.mark.parametrize(
    "text",
    [
        "Region 2: A cat.", "Region 2 is a cat.", "<region2>: A cat.", "A dog. Region 2: A cat.", "A dog. Region 2 shows a cat.", "A dog. <region2> A cat.",
        "A dog.\nRegion 2: A cat.", "1. A dog. 2. A cat.", "[1] A dog. [2] A cat.", "① A dog. ② A cat.", "A dog next to it: region 2: A cat.",
    ],
)  # fmt: skip
def test_a_text_with_another_regions_is_no_caption(text: str) -> None:
    assert set(parse(json.dumps({"region1": text, "region2": "A bird."}), TWO)) <= {2}
    if "\n" not in text:
        assert set(parse(f"<region1>: {text}\n<region2>: A bird.", TWO)) <= {2}


@pytest.mark.parametrize("name", ["observation", "internal", "step", "review:x"])
def test_a_tag_that_is_never_closed_leaves_nothing(name: str) -> None:
    assert parse(f"<{name}>\n{DRAFT}", TWO) == {}
    assert parse(f"<{name}>\n" + json.dumps({"region1": "A wolf.", "region2": "A fox."}), TWO) == {}
    assert parse(f"<captions>\n{LINES}", TWO) == BOTH


def test_an_echo_of_the_form_is_not_taken_for_a_second_text() -> None:
    form = "<region1>: …\n<region2>: …"
    assert (
        parse(f"Answer with one line for each region and nothing else, in this form:\n{form}\n\n{LINES}", TWO) == BOTH
    )
    assert parse(form, TWO) == {}
    assert parse('{"region1": "…", "region2": "…"}', TWO) == {}


def test_the_reason_says_what_is_in_doubt() -> None:
    assert read_reply(f"{LINES}\n\nWait, region 2 is a bird.", TWO).reason == "it corrects itself"
    assert (
        read_reply("Analysis:\nRegion 1: wolf?", TWO).reason
        == "it thinks aloud, and does not say where its answer begins"
    )


BESIDE_CAPTIONS = [
    "Region 1: A dog. [12, 33, 100, 200]\nRegion 2: A cat [0.1, 0.2, 0.3, 0.4].",
    "Region 1: A dog. (confidence: 0.93)\nRegion 2: A cat. [Score: 88%]",
    "Region 1\nLabel: dog\nDescription: A dog.\nRegion 2\nLabel: cat\nDescription: A cat.",
    "region1:\n  caption: A dog.\n  color: brown\nregion2:\n  caption: A cat.\n  color: grey",
    "## <region1>\nA dog.\nColor: brown\n## <region2>\nA cat.\nColor: grey",
    "Region 1: A dog. Region 2: A cat. In summary, the picture shows two pets.",
    "Region 1: A dog.\nRegion 2: A cat. Overall, the image shows two pets.",
]


@pytest.mark.parametrize("text", BESIDE_CAPTIONS)
def test_what_is_told_beside_a_caption_is_not_in_it(text: str) -> None:
    assert parse(text, TWO) == BOTH


def test_of_several_fields_without_a_caption_none_is_taken() -> None:
    assert parse("Region 1\nShape: round\nColor: brown\nRegion 2: A cat.", TWO) == {2: "A cat."}
