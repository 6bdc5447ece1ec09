"""Makes golden.txt: words and their stems by NLTK's PorterStemmer in its default mode, one pair a line, the stem left out
where it is the word itself.

The words are those of the TriviaQA answers and questions that the other golden numbers use, and some that try every rule.
Usage: python golden.py GENERATIONS.jsonl > golden.txt     (nltk 3.10.4)
"""
import json
import re
import sys

from nltk.stem.porter import PorterStemmer

RULES = """caresses ponies ties caress cats dies flies spied died feed agreed plastered bled motoring sing conflated troubled sized
hopping tanned falling hissing fizzed failing filing happy sky enjoy spy say relational conditional rational valenci
hesitanci digitizer conformabli radicalli differentli vileli analogousli vietnamization predication operator feudalism
decisiveness hopefulness callousness formaliti sensitiviti sensibiliti hopefulli archaeologi geologi theologi logi triplicate
formative formalize electriciti electrical hopeful goodness revival allowance inference airliner gyroscopic adjustable
defensible irritant replacement adjustment dependent adoption homologou communism activate angulariti homologous effective
bowdlerize probate rate cease controll roll skies dying lying tying news innings inning outings outing cannings canning howe
proceed exceed succeed yyyy syzygy toy by as oxen owed using used aged eing ing ed aed bing ied lied skied abilities
1970s 2nd 747s x1y generally generalli finalli totalli alli balli electricalli yes eyed keyed dryly played crying eeeed
controlling rolled fuller fullness ional ation tional al ance ement ion onion union passion motion sion tion""".split()


def main():
    words = set(RULES)
    for line in open(sys.argv[1], encoding="utf-8"):
        row = json.loads(line)
        for text in [row["question"], row["answer"], *row["generations"]["text_cleaned"]]:
            words.update(w for w in re.split("[^a-z0-9]+", text.lower()) if len(w) > 3)
    stemmer = PorterStemmer()
    for word in sorted(words):
        stem = stemmer.stem(word)
        print(word if stem == word else f"{word} {stem}")


main()
