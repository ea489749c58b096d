"""Reason codes of dead letters: why an output could not become rows."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """One code a kind of fault; the code is what filters, alerts and scripts rely on."""

    # What the documents are.
    NOT_UTF8 = "not_utf8"
    EMPTY_FILE = "empty_file"
    NOT_JSON = "not_json"
    JSON_SHAPE = "json_shape"
    JSON_TOO_DEEP = "json_too_deep"
    JSON_NOT_FINITE = "json_not_finite"  # NaN, Infinity
    JSON_NUMBER_OUT_OF_RANGE = "json_number_out_of_range"  # more than PostgreSQL's numeric holds
    TOO_FEW_INSPIRATIONS = "too_few_inspirations"
    KEY_ELEMENTS = "key_elements"  # no list of text
    CARD_NUMBER = "card_number"  # outside 1 to 5
    CARD_NUMBER_TWICE = "card_number_twice"
    TOO_MANY_CARDS = "too_many_cards"
    CARD_WITHOUT_SECTIONS = "card_without_sections"
    FRONT_MATTER = "front_matter"  # YAML that can't be read
    UNSTORABLE_TEXT = "unstorable_text"  # U+0000 or a lone surrogate: PostgreSQL stores neither
    TOO_LARGE = "too_large"
    NO_DOCUMENTS = "no_documents"
    # What the message says.
    MESSAGE = "message"  # not of the contract
    MESSAGE_VERSION = "message_version"  # newer than this worker, for longer than a rolling upgrade takes
    HASH_MISMATCH = "hash_mismatch"
    RUN_ID = "run_id"
    UNKNOWN_USER = "unknown_user"
    # What happened when it was processed.
    DATABASE_REFUSED = "database_refused"  # a data error that only PostgreSQL could find
    UNKNOWN_ERROR = "unknown_error"
    BREAKS_THE_WORLD = "breaks_the_world"
    CRASH_LOOP = "crash_loop"
