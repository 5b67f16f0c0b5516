# ruff: noqa: RUF001 - signs of other scripts are meant here.
"""What models say around their captions, in the languages that they answer in: introductions and remarks.

Each table has one line for each language. A new phrase is one more alternative there, a new language one more line.
All patterns are matched where a text, a paragraph or a sentence begins, and none of them looks further than a line.
"""

from __future__ import annotations

import re

from regioncap.captioners.reading.lazy_pattern import lazy_pattern
from regioncap.captioners.reading.plain_text import any_of, beginning, lowered

_INTRODUCTIONS = (
    r"(?:sure|certainly|of course|absolutely|definitely|okay|ok|great|alright|all right|got it|understood|yes|gladly|"
    r"no problem|sounds good|perfect)(?: thing)?(?:[,.!:—–]| - )|(?:here|below|following|the following|"
    r"these) (?:are|is|you go)\b|here['’]s\b|"
    r"(?:based on|looking at|after (?:looking|examining|analy[sz]ing)|as (?:you )?requested|per your request|"
    r"upon|from) "
    r"(?:(?:the |your |this )(?:\w+ )?(?:image|picture|photo|region|area|scene|content|box|mark|provided|visual|"
    r"context)|it\b)|i['’]?(?:ll| will| have|['’]ve| can see| can provide| am going| see)\b|let['’]?s |"
    r"let me (?:describ|help|provid|give|look|analy|show|caption|list|start|see|know|take|go|break)|"
    r"(?:the|this|my|these|a|your) (?:\w+ ){0,3}(?:captions?|descriptions?|answers?|responses?|summary)\b|"
    r"(?:captions?|descriptions?|answers?|outputs?|results?) (?:for|of) (?:the|each|region|<)|thank(?:s|"
    r" you)(?:[,.!]| for )",
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
    r"конечно|вот |ниже|хорошо[,.!]|на основе|описани[ея](?: регион| област| изображ|\s?[:：])",
    r"oczywiście|oto (?:opis|podpis)|poniżej|jasne[,.!]|natuurlijk[,.!]|hieronder|hier (?:zijn|is)|tabii|"
    r"işte (?:açıklama)|aşağıda|"
    r"självklart|här (?:är|kommer)|selvfølgelig|her er|tietenkin|tässä|звичайно|ось |jistě|samozřejmě|zde (?:jsou|"
    r"je)|desigur|iată|"
    r"φυσικά|ορίστε|בטח|הנה |természetesen|íme|(?:great|good) question|"
    r"(?:the|this) (?:image|picture|photo) (?:contains|shows|has|includes|presents|depicts) (?:\w+ ){0,3}regions?\b|"
    r"tentu[,.!]|berikut|chắc chắn|dưới đây|vâng[,.]|đây là (?:mô tả|các|chú thích)",
    r"بالتأكيد|بالطبع|إليك|فيما يلي|ज़रूर|ज़रूर|बिल्कुल[,! ]|निम्न|यहाँ (?:विवरण|प्रत्येक|कैप्शन)|แน่นอน|ต่อไปนี้|"
    r"นี่คือ(?:คำอธิบาย|รายละเอียด)",
)

_REMARKS = (
    r"(?:both|all|each|every one|the two)(?: of the)?(?: \w+)? regions\b|"
    r"(?:i['’]?m )?(?:happy|glad) to (?:help|assist)|\(?\d+ regions? |total\s?: \d+|confidence\s?:|shall i |"
    r"good luck\b|"
    r"done[.!]|viel erfolg|bonne (?:journée|continuation)|"
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
    r"(?:i['’]ve|i have) (?:described|provided|captioned|listed|included|tried)|"
    r"in (?:summary|conclusion)[,:]|to (?:summari[sz]e|conclude)\b|"
    r"overall, (?:the|this) (?:image|picture|photo|scene)\b|end of (?:captions?|"
    r"descriptions?|answer|list|response)|(?:word|character) count|###? ?(?:note|summary)",
    r"如果(?:您|你|需要|有|还|還)|希望(?:这|這|以上|对|對|能|我)|请(?:告诉|随时|注意|让我|问)|請(?:告訴|隨時|"
    r"注意)|(?:您|你)(?:还|還|是否|需要|想|可以随时)|以上(?:是|就是|为|為|描述|内容|即)|"
    r"(?:还|還)(?:有|需要)什么|注[:：]|注意[:：]|说明[:：]|有(?:任何|什么|其他)(?:问题|需)|如需|如有|这些描述|"
    r"這些描述|感谢|謝謝|谢谢|总结|總結",
    r"以上(?:が|です|は)|(?:他|ほか)に(?:何|ご|も|質問)|何か(?:ご|他|ほか|質問|あれ)|ご(?:不明|質問|要望|参考|"
    r"確認|希望)|お(?:役|気軽|知らせ)|必要(?:で|が|に)|もし(?:ご|さら|他|ほか|何か|必要|質問)|よろしければ|"
    r"さらに(?:詳|情)|"
    r"何なりと|注[:：]|※|これらの説明|いかが",
    r"(?:더|추가로|다른|혹시|궁금|필요|도움|이상|위|원하|언제든|질문|문의)[^\n]{0,40}(?:말씀|알려|주세요|"
    r"주십시오|되길 바|바랍|나요|까요|하시면|드립)|참고[:로]|감사(?:합니다|드립)|이상입니다",
    r"(?:ich hoffe|hoffentlich|lass(?:en sie)? (?:mich|es mich)|sag(?:en sie)? (?:mir )?|gib |wenn (?:du|sie)\b|"
    r"falls (?:du|sie)\b|bei (?:fragen|bedarf|weiteren)|möchte(?:st du|n sie)|"
    r"brauch(?:st du|en sie)|kann ich|gibt es (?:noch|sonst)|hinweis:|anmerkung:|diese (?:beschreibung|"
    r"bildunterschrift)|melde (?:dich|sie)|zögern)",
    r"(?:j['’]espère|n['’]hésite|faites[- ]?(?:le[- ]moi|moi)|dis[- ]moi|dites[- ]moi|si (?:vous|tu|besoin)|"
    r"souhaite[sz]|voulez[- ]vous|avez[- ]vous|puis[- ]je|"
    r"y a-t-il|remarque\s?:|note\s?:|ces (?:description|légende)|besoin d)",
    r"(?:espero|no dudes|no dude|si (?:necesitas|necesita|quieres|quiere|deseas|desea|tienes|tiene|hay)|házmelo|"
    r"hazme|¡?av[íi]same|dime|¿|nota:|estas descripciones|"
    r"precisa de mais|se (?:precisar|quiser|desejar|vuoi|hai|desidera|serve)|me avise|fique à|spero|fammi|fatemi|"
    r"non esitare|"
    r"posso (?:aiutar|fare|fornir|altro))",
    r"mam nadzieję|daj (?:mi )?znać|jeśli (?:potrzebujesz|chcesz|masz)|hopelijk|laat (?:het )?me weten|als (?:je|"
    r"u) (?:meer|vragen)|"
    r"umarım|başka bir|semoga|jika (?:anda|kamu)|beri tahu|hy vọng|hãy cho tôi|nếu bạn",
    r"hoppas|säg till|håper|håber|si til|toivottavasti|сподіваюс|дайте знати|doufám|dejte (?:mi )?vědět|sper (?:că|"
    r"ca)|spuneți-mi|"
    r"ελπίζω|πείτε μου|מקווה|ספר(?:ו)? לי|remélem|"
    r"آمل|أخبرني|إذا كنت|هل (?:ترغب|تحتاج|تريد)|आशा है|(?:अगर|यदि) आप|क्या आप|หวังว่า|หากต้องการ|หากคุณ|โปรดแจ้ง",
    r"(?:надеюсь|если (?:вам|вы|у вас|нужн|хотите)|дайте знать|сообщите|примечание|обращайтесь|хотите)",
)

_CORRECTIONS = (
    r"(?:no,? )?(?:wait|hold on|hm+|oops|whoops)\s?[,.!…—–-]|actually,|correct(?:ion\s?:|ed\s?:|ing)|my mistake|"
    r"on second thought|"
    r"scratch that|(?:thinking|thoughts?|reasoning)\s?:|edit:|second attempt|(?:sorry|apologies)[,—– ]|"
    r"i (?:mixed|swapped|confused|misread|made|need to (?:redo|correct|fix))\b|"
    r"let me (?:correct|redo|fix|re-?(?:check|do|think|consider)|double|try again)|"
    r"here(?:['’]s| is| are) (?:the |an? )?(?:improved|corrected|revised|updated|better)|"
    r"(?:note:? )?(?:the |these |both )?(?:two )?(?:captions?|regions?|descriptions?|labels?|<region\d+>)[^.\n]{0,60}"
    r"(?:swapped|switched|mixed up|other way|reversed|interchanged)|revised (?:captions?|descriptions?)",
    r"(?:更正|纠正|糾正|订正|訂正|修正)[:：一了]|等等[，,！!。]|不对[，,]|不對[，,]|重新描述|我(?:搞错|弄错|写错)",
    r"待って|訂正[:：しを]|間違えま|やり直し|いや[、,]|失礼(?:しま|、)",
    r"정정[:：합]|수정(?:[:：]|하겠|합니다)|잠깐[,만]|아니[,요]",
    r"korrektur\s?:|moment[,.!]|warte[,. ](?:mal)?|ich habe (?:mich|die)|genauer gesagt|nochmal[: ]",
    r"attendez[,. ]|attends[,. ]|correction\s?:|je me suis trompé|rectification|en fait,",
    r"corrección\s?:|espera,|espere,|me equivoqué|en realidad,|correção\s?:|na verdade,|correzione\s?:|aspetta,|"
    r"in realtà,",
    r"исправление\s?:|поправка|подожди|точнее,|на самом деле,",
)

_INTRODUCTION, _REMARK, _CORRECTION = any_of(_INTRODUCTIONS), any_of(_REMARKS), any_of(_CORRECTIONS)
_SENTENCE = lazy_pattern(r"[.!?।۔؟][\"”’)*_]{0,3}\s+|[。！？]\s*")
_BEGIN = lazy_pattern(r"[\n.!?。！？।۔؟](?:(?<=[\n。！？])|[\"”’)*_]{0,3}\s)(?=\S)")
_ENDS_OPEN = lazy_pattern(r"[:：]\W{0,6}$")
_OF_CAPTIONS = lazy_pattern(
    r"(?:captions?|descriptions?|what i see|説明|描述|설명|beschreibung(?:en)?|légendes?|descripci(?:ón|ones)|"
    r"descrizioni?|описани[ея])\b"
    r"[^.!?。！？\n]{0,40}[.!?。！？]?\s*$|(?:説明|描述|설명)[^。\n]{0,12}[。.]\s*$",
    re.IGNORECASE,
)
_HEADING = lazy_pattern(
    r"\s{0,8}(?:#{1,4}\s|\*\*)(?:(?:image|region|final) )?(?:captions?|descriptions?|answers?|responses?|outputs?|"
    r"results?)"
    r"\s?[:：]?\*{0,2}(?=\s)"
)
_FIELD = lazy_pattern(
    r"[\s*_`\"“'#>\-]{0,8}(?:(?:short|brief|image|detailed|final|region) )?(?:captions?|descriptions?|desc|text|"
    r"content|answer|final answer|"
    r"output|response|描述|说明|說明|标题|標題|内容|答案|回答|説明|キャプション|설명|캡션|beschreibung|"
    r"bildunterschrift|légende|descripción|"
    r"leyenda|descrizione|didascalia|descrição|legenda|описание)[\s*_`\"”']{0,6}[:：=]+[\s*_`|>]{0,6}"
)


def is_remark(text: str) -> bool:
    """Whether a paragraph or sentence speaks to the reader behind the captions: "Let me know if …"."""
    return _REMARK.match(beginning(text)) is not None


def corrects_itself(text: str) -> bool:
    """Whether one of its lines or sentences takes back what came before: "Wait, region 2 is …"."""
    low = lowered(text)
    begins = (begin.end() for begin in _BEGIN.finditer(low))
    return _CORRECTION.match(low) is not None or any(_CORRECTION.match(low, begin) for begin in begins)


def is_text_field(line: str) -> bool:
    """Whether a line begins with the name of what holds a caption: "Description: "."""
    return _FIELD.match(beginning(line)) is not None


def is_introduction(text: str) -> bool:
    """Whether a line or sentence leads to the captions: "Sure! Here are …:"."""
    return _INTRODUCTION.match(beginning(text)) is not None


def without_remarks(text: str) -> str:
    """A text without the lines and sentences at its end that are remarks."""
    lines = text.split("\n")
    while lines and (not lines[-1].strip() or is_remark(lines[-1])):
        lines.pop()
    if not lines:
        return ""
    last, end = lines[-1], len(lines[-1])
    begins = [match.end() for match in _SENTENCE.finditer(last) if match.end() < end]
    for begin in reversed([0, *begins]):
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
        field = _FIELD.match(beginning(text)) or _HEADING.match(beginning(text))
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
