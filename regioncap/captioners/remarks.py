# ruff: noqa: RUF001, RUF002 - signs of other scripts are meant here.
"""What models say around their captions, in the languages that they answer in: introductions, remarks, refusals.

Each table has one line for each language. A new phrase is one more alternative there, a new language one more line.
All patterns are matched where a text, a paragraph or a sentence begins, and none of them looks further than a line.
"""

from __future__ import annotations

import re

from regioncap.captioners.plain_text import lowered

_REFUSALS = (
    # English
    r"i['’]?m (?:very |so |really |deeply )?(?:sorry|afraid)|i am (?:very |so |really )?(?:sorry|afraid)|"
    r"(?:sorry|apologies|my apologies)[,.!:— ]|i (?:do )?apologi[sz]e|"
    r"(?:unfortunately|regrettably),? (?:i|the image|the picture|there is no|no image|you)\b|"
    r"i(?:['’]m| am) (?:currently )?(?:not|unable)\b|i notice |i(?:['’]d| would) (?:be (?:happy|glad|able)|need|"
    r"love)|i(?:['’]ve| have) (?:not|no)\b|i (?:won['’]t|will not|must decline)|"
    r"i (?:can(?:no|['’])?t|can not|could(?:n['’]t| not)|do(?:n['’]t| not)) (?!wait|stop|even\b)|"
    r"as an? (?:ai|artificial intelligence|language model|text-based)|i(?:['’]m| am) (?:just |only )?an? (?:ai|"
    r"language model)|"
    r"(?:it (?:looks|seems|appears) (?:like|that|as (?:if|though)) )?(?:you (?:have(?:n['’]t| not)|did(?:n['’]t|"
    r" not)|"
    r"forgot)|no (?:image|picture|photo|attachment)\b[^.\n]{0,20}\b(?:was|is|has|were|attached|provided|uploaded)|"
    r"there (?:is|was|are) no (?:image|picture|photo|attachment|visible)|the (?:image|picture|photo|region|area) "
    r"(?:you[^.\n]{0,30} )?(?:did(?:n['’]t| not)|is(?:n['’]t| not)|was(?:n['’]t| not)|could not|cannot|failed|"
    r"does not|doesn['’]t "
    r"(?:contain|show|exist|appear to (?:contain|have))))|"
    r"(?:could|can|would) you (?:please )?(?:provide|upload|share|attach|send|re-?upload)|"
    r"please (?:provide|upload|share|attach|send|re-?upload)|i (?:need|would need|require) (?:the|an|to see|you)\b|"
    r"(?:it is|it['’]s) (?:not possible|impossible) |unable to (?:see|identify|determine|describe|provide|"
    r"process|view)|"
    r"error\s?[:(\d]|(?:cannot|can['’]t) (?:be )?(?:see|identif|determin|describ|provid|assist|help|view)|"
    r"nothing (?:is |can be )?(?:visible|seen|to describe)|not visible\b|not (?:found|present|applicable|"
    r"available)\b",
    # Chinese
    r"(?:很|非常|十分)?(?:抱歉|遗憾|遺憾|对不起|對不起|不好意思)|我?(?:无法|無法|不能|没法|沒法|没有办法|"
    r"难以)(?:看|识|識|描|提|确|確|为|為|回|协|協|"
    r"帮|幫|处|處|访|訪|查|生|直|满|打|观|觀|辨|分|判)|"
    r"(?:您|你)(?:似乎|好像)?(?:没有|沒有|还没|還沒|未)(?:上传|上傳|提供|附|发|發)|(?:请|請)(?:您|"
    r"你)?(?:先)?(?:上传|上傳|提供|重新|发送|發送)|"
    r"作为一?(?:个|名|款)?(?:人工智能|ai|语言模型|大模型)|身為|我(?:看不到|没有看到|沒有看到|看不见|没看到)|"
    r"(?:没有|沒有|未)(?:看到|提供|收到|检测到|检测到任何)",
    # Japanese
    r"(?:大変|誠に)?申し訳|すみません|恐れ入りますが|残念ながら|ごめんなさい|(?:画像|写真|イメージ)(?:が|を|"
    r"は)[^。\n]{0,6}(?:見|確認|表示|提供|添付|アップロード|認識|あり)[^。\n]{0,12}(?:ません|ない)|"
    r"(?:私は)?(?:ai|人工知能|言語モデル)(?:として|なので|です)|お(?:手伝い|答え)(?:でき|する)|"
    r"[^。\n]{0,12}(?:お手伝い|説明|識別|特定)(?:することは|は)?できません",
    # Korean
    r"(?:정말 |대단히 )?죄송|미안|유감스럽|안타깝게도|저는 (?:ai|인공지능|언어)|(?:이미지|사진|그림)(?:가|를|을|"
    r"이) (?:첨부|제공|업로드|보이지|볼 수|없)|"
    r"[^.\n]{0,16}(?:설명|식별|확인|도와|제공)[^.\n]{0,10}(?:할|드릴) 수 없|이미지를 (?:첨부|업로드|제공)",
    # German
    r"(?:es tut mir (?:sehr )?leid|tut mir (?:sehr )?leid|entschuldig|verzeih|leider|ich bedaure)|"
    r"ich (?:kann|konnte|darf|könnte) [^.\n]{0,60}(?:nicht|kein)|ich (?:sehe|habe|erkenne|finde) kein|"
    r"ich bin (?:nicht|leider|eine? ki\b|ein sprach)|"
    r"als (?:ki|künstliche|sprachmodell)|(?:sie haben|du hast) (?:kein|noch kein)|bitte (?:lade|laden|senden|"
    r"stellen|geben) |"
    r"(?:es )?(?:wurde|ist|gibt) kein (?:bild|foto)|(?:das|kein) bild (?:wurde |ist |kann )?(?:nicht|vorhanden|"
    r"angehängt)",
    # French
    r"(?:je suis |je suis vraiment |vraiment )?(?:désolée?|navrée?)|(?:mes |toutes mes )?excus|malheureusement|"
    r"je (?:ne |n['’])(?:peux|suis|vois|puis|parviens|arrive|dispose|ai)|en tant qu|il (?:m['’]est|est) impossible|"
    r"(?:vous n['’]avez|tu n['’]as) pas|(?:aucune|pas d['’]) ?(?:image|photo)|veuillez (?:fournir|joindre|"
    r"télécharger|envoyer|partager)|"
    r"pourriez[- ]vous|il n['’]y a (?:pas d['’]|aucune )image",
    # Spanish, Portuguese, Italian
    r"lo siento|lo lamento|perd[óo]n|disculp|desafortunadamente|lamentablemente|(?:yo )?no (?:puedo|pude|veo|"
    r"soy capaz|me es posible|"
    r"es posible|tengo|se (?:ha|adjunt|proporcion))|como (?:una? )?(?:ia|modelo|inteligencia|intelig[êe]ncia)|"
    r"(?:por favor,? )(?:adjunt|proporcion|sub|env|carg|forne[çc])|"
    r"no has? (?:adjunt|proporcion|subido)|desculp|sinto muito|lamento|infelizmente|(?:eu )?não (?:posso|"
    r"consigo|vejo|há|foi)|"
    r"mi (?:dispiace|scuso)|purtroppo|(?:io )?non (?:posso|riesco|vedo|è possibile|sono in grado)|scusa|"
    r"spiacente|nessuna immagine",
    # Russian
    r"к сожалению|извините|простите|прошу прощения|я не (?:могу|вижу|в состоянии)|как (?:ии|искусственный|"
    r"языковая)|изображение не",
)  # fmt: skip

_INTRODUCTIONS = (
    r"(?:sure|certainly|of course|absolutely|definitely|okay|ok|great|alright|all right|got it|understood|yes|gladly|"
    r"no problem|sounds good|perfect)(?: thing)?(?:[,.!:—–]| - )|(?:here|below|following|the following|"
    r"these) (?:are|is|you go)\b|here['’]s\b|"
    r"(?:based on|looking at|after (?:looking|examining|analy[sz]ing)|as (?:you )?requested|per your request|"
    r"upon|from) "
    r"(?:the |your |this |it)|i['’]?(?:ll| will| have|['’]ve| can see| can provide| am going| see)\b|let['’]?s |"
    r"let me |"
    r"(?:the|this|my|these|a|your) (?:\w+ ){0,3}(?:captions?|descriptions?|answers?|responses?|summary)\b|"
    r"(?:captions?|descriptions?|answers?|outputs?|results?) (?:for|of) (?:the|each|region|<)|thank(?:s| you)[ ,.!]",
    r"好的|当然|當然|没问题|沒問題|可以的|明白|以下|下面|如下|这里是|這裡是|根据|根據|让我|讓我|我来|我將|我将|"
    r"这是(?:对|图|您|一个描述)|收到",
    r"はい[、。,！!]|もちろん|承知|かしこまり|了解|以下(?:は|に|の|が)|次の(?:通り|とおり|よう|説明)|"
    r"こちら(?:は|が)|それでは|では[、,]|画像(?:を|に基づ)",
    r"네[,.! ]|물론|알겠|다음은|다음과|아래는|아래와|여기(?: |에)|그럼|이미지를 (?:바탕|보고|분석)|요청하신",
    r"gerne?[,.! ]|natürlich[,.!]|klar[,.!]|selbstverständlich|sicher[,.!]|hier (?:sind|ist|kommt|die|finden)|"
    r"im folgenden|nachfolgend|"
    r"(?:auf|anhand) (?:basis|grundlage|des bildes)|die (?:beschreibung|bildunterschrift)",
    r"bien sûr|voici|voilà|d['’]accord|certainement|avec plaisir|ci-dessous|d['’]après|en (?:me )?bas|très bien|"
    r"la (?:description|légende)",
    r"¡?(?:claro|por supuesto|con gusto|desde luego|seguro)[ ,.!:]|aquí (?:est|tien|te|va|hay)|a continuación|"
    r"basándo|la descripción|"
    r"com certeza|aqui (?:est|vão|tem)|a seguir|segue[m ]|com base|certo[,.!]|certamente|ecco |di seguito|"
    r"in base|la descrizione",
    r"конечно|вот |ниже|хорошо[,.!]|на основе|описание",
)

_REMARKS = (
    r"let me know|(?:i|we) (?:sincerely |really )?hope|hope (?:this|that|it|you)|(?:please )?feel free|"
    r"please (?:let|note|tell|ask|don['’]t)|"
    r"if (?:you|there|any|needed|necessary)\b[^\n]{0,80}\b(?:need|want|have|would|like|let|wish|prefer|are|"
    r"question|further|more|ask|help|"
    r"adjust|anything)|would you (?:like|prefer)|do you (?:want|need|have)|is there (?:anything|something)|"
    r"(?:is |need )?anything else|"
    r"(?:i['’]?m|i am|i['’]?d be|i would be|always) (?:happy|glad|here)|i can (?:also |further |help|provide|"
    r"assist|give|add|adjust)|thank(?:s| you)(?:[!.,]| for )|you['’]re welcome|"
    r"(?:these|this|the|all|both|each|my)(?: \w+){0,3} (?:captions?|descriptions?|answers?|responses?|"
    r"annotations?|summary|summaries)\b|"
    r"note(?: that|:)|\(?note:|disclaimer|as (?:requested|you requested|an ai)|(?:good luck|enjoy|cheers)[!.]+\s*$|"
    r"(?:now,? )?let['’]?s (?:move|look|turn|go|now|proceed)|moving on|next,? (?:we|let|i)|(?:now|next)[,:] |"
    r"that['’]s (?:all|it)|"
    r"(?:i['’]ve|i have) (?:described|provided|captioned|listed|included|tried)|end of (?:captions?|"
    r"descriptions?|answer|list|response)|(?:word|character) count|###? ?(?:note|summary)",
    r"如果(?:您|你|需要|有|还|還)|希望(?:这|這|以上|对|對|能|我)|请(?:告诉|随时|注意|让我|问)|請(?:告訴|隨時|"
    r"注意)|(?:您|你)(?:还|還|是否|需要|想|可以随时)|以上(?:是|就是|为|為|描述|内容|即)|"
    r"(?:还|還)(?:有|需要)什么|注[:：]|注意[:：]|说明[:：]|有(?:任何|什么|其他)(?:问题|需)|如需|如有|这些描述|"
    r"這些描述|感谢|謝謝|谢谢|总结|總結",
    r"以上(?:が|です|は|の)|(?:他|ほか)に(?:何|ご|も)|何か(?:ご|他|ほか|質問|あれ)|ご(?:不明|質問|要望|参考|"
    r"確認|希望)|お(?:役|気軽|知らせ)|必要(?:で|が|に)|もし|よろしければ|さらに(?:詳|情)|"
    r"何なりと|注[:：]|※|これらの説明|いかが",
    r"(?:더|추가로|다른|혹시|궁금|필요|도움|이상|위|원하|언제든|질문|문의)[^\n]{0,40}(?:말씀|알려|주세요|"
    r"주십시오|되길 바|바랍|나요|까요|하시면|드립)|참고[:로]|감사|이상입니다",
    r"(?:ich hoffe|hoffentlich|lass(?:en sie)? (?:mich|es mich)|sag(?:en sie)? (?:mir )?|gib |wenn (?:du|sie)\b|"
    r"falls (?:du|sie)\b|bei (?:fragen|bedarf|weiteren)|möchte(?:st du|n sie)|"
    r"brauch(?:st du|en sie)|kann ich|gibt es (?:noch|sonst)|hinweis:|anmerkung:|diese (?:beschreibung|"
    r"bildunterschrift)|melde (?:dich|sie)|zögern)",
    r"(?:j['’]espère|n['’]hésite|faites[- ]?(?:le[- ]moi|moi)|dis[- ]moi|dites[- ]moi|si (?:vous|tu|besoin)|"
    r"souhaite[sz]|voulez[- ]vous|avez[- ]vous|puis[- ]je|"
    r"y a-t-il|remarque\s?:|note\s?:|ces (?:description|légende)|besoin d)",
    r"(?:espero|no dudes|no dude|si (?:necesitas|necesita|quieres|quiere|deseas|desea|tienes|tiene|hay)|házmelo|"
    r"hazme|av[íi]same|dime|¿|nota:|estas descripciones|"
    r"se (?:precisar|quiser|desejar|vuoi|hai|desidera|serve)|me avise|fique à|spero|fammi|fatemi|non esitare|posso )",
    r"(?:надеюсь|если (?:вам|вы|у вас|нужн|хотите)|дайте знать|сообщите|примечание|обращайтесь|хотите)",
)

MAX_PHRASE = 400
"""In characters. No phrase is longer, with what stands before it."""

_LEAD = r"[\s*_`>#~\-–—•(（]{0,12}"
_QUOTES_TOO = r"[\s*_`>#~\-–—•(（.…]{0,12}"


def _any_of(rows: tuple[str, ...], lead: str = _LEAD) -> re.Pattern[str]:
    return re.compile(f"{lead}(?:{'|'.join(rows)})")


_REFUSAL, _INTRODUCTION, _REMARK = _any_of(_REFUSALS, _QUOTES_TOO), _any_of(_INTRODUCTIONS), _any_of(_REMARKS)
_SENTENCE = re.compile(r"[.!?][\"”’)*_]{0,3}\s+|[。！？]\s*")
_ENDS_OPEN = re.compile(r"[:：]\W{0,6}$")
_OF_CAPTIONS = re.compile(
    r"(?:captions?|descriptions?|what i see|説明|描述|설명|beschreibung(?:en)?|légendes?|descripci(?:ón|ones)|"
    r"descrizioni?|описани[ея])\b"
    r"[^.!?。！？\n]{0,40}[.!?。！？]?\s*$|(?:説明|描述|설명)[^。\n]{0,12}[。.]\s*$",
    re.IGNORECASE,
)
_NOTHING = re.compile(
    r"\W*+(?:nan|true|false|yes|no|ok|error|n/?a|none|null|nil|unknown|undefined|tbd|empty|blank|\.{3}|…|text|caption|description|无|無|なし|"
    r"없음|keine?|aucune?|"
    r"ninguno|nessuno|нет)?+\W*+$"
)
_FIELD = re.compile(
    r"[\s*_`\"“'#>\-]{0,8}(?:(?:short|brief|image|detailed|final|region) )?(?:caption|description|desc|text|"
    r"content|answer|final answer|"
    r"output|response|描述|说明|說明|标题|標題|内容|答案|回答|説明|キャプション|설명|캡션|beschreibung|"
    r"bildunterschrift|légende|descripción|"
    r"leyenda|descrizione|didascalia|descrição|legenda|описание)[\s*_`\"”']{0,6}[:：=]+[\s*_`|>]{0,6}"
)


def _begin(text: str) -> str:
    """As much of a text as a phrase may need, in small letters: ignoring case takes ten times as long."""
    return lowered(text[:MAX_PHRASE])


def is_refusal(text: str) -> bool:
    """Whether a text declines to answer, in any of the languages here.

    >>> [is_refusal(text) for text in ("I'm sorry, I can't help.", "抱歉，我无法识别。", "A sorry-looking dog.")]
    [True, True, False]
    """
    return _REFUSAL.match(_begin(text)) is not None


def is_remark(text: str) -> bool:
    """Whether a paragraph or sentence speaks to the reader behind the captions: "Let me know if …"."""
    return _REMARK.match(_begin(text)) is not None


def is_introduction(text: str) -> bool:
    """Whether a line or sentence leads to the captions: "Sure! Here are …:"."""
    return _INTRODUCTION.match(_begin(text)) is not None


def says_nothing(text: str) -> bool:
    """Whether there are no words in it, or only those of a place left empty: "N/A", "…"."""
    return len(text) <= MAX_PHRASE and _NOTHING.match(lowered(text)) is not None


def without_remarks(text: str) -> str:
    """A text without the lines and sentences at its end that are remarks."""
    lines = text.split("\n")
    while lines and (not lines[-1].strip() or is_remark(lines[-1])):
        lines.pop()
    if not lines:
        return ""
    last, end = lines[-1], len(lines[-1])
    for begin in reversed([0, *(match.end() for match in _SENTENCE.finditer(last))]):
        if not is_remark(last[begin:end]):
            break
        end = begin
    return "\n".join([*lines[:-1], last[:end]]).rstrip()


def without_introduction(text: str) -> str:
    """A text without its first words where they lead to the rest: "Sure!", "Here is the caption:", "Caption:".

    Where an introduction does not end, so that nobody can say where the caption begins, nothing is left.
    """
    for _ in range(3):
        text = text.lstrip()
        field = _FIELD.match(_begin(text))
        if field:
            text = text[field.end() :]
        elif is_introduction(text):
            text = _behind_introduction(text)
        else:
            break
    return text.strip()


def _behind_introduction(text: str) -> str:
    line, _, rest = text.partition("\n")
    if rest.strip() and (_ENDS_OPEN.search(line) or _OF_CAPTIONS.search(line)):
        return rest
    colon = re.search(r"[:：](?=\W{0,4}\s|[^\x00-\x7f])", line[:160])
    if colon and line[colon.end() :].strip("*_` "):
        return line[colon.end() :] + ("\n" + rest if rest else "")
    short = re.match(r"\W{0,8}[^\s.!。！]{1,14}(?:\s[^\s.!。！]{1,14})?[.!。！]+\s*(?=\S)", line)
    return text[short.end() :] if short else ""
