"""Limits: what one output may be before it is malformed. How much a message may carry is the sender's setting."""

from __future__ import annotations

from typing import Final

#: All documents of one output together; a jsonb value ends at 256 MiB, and every producer's limit is far below.
MAX_OUTPUT_BYTES: Final = 64 * 1024 * 1024

#: A Markdown document that is read for cards; parsing takes some seconds a mebibyte at worst.
MAX_CARD_DOCUMENT_BYTES: Final = 1024 * 1024

#: Objects and lists within each other. PostgreSQL and Python's own parser stop somewhere above, each at a depth
#: that depends on the stack; a fixed limit gives the same verdict everywhere.
MAX_JSON_DEPTH: Final = 512

#: PostgreSQL's numeric, which is what jsonb holds numbers in.
MAX_DIGITS_BEFORE_POINT: Final = 131_072
MAX_DIGITS_AFTER_POINT: Final = 16_383
#: Newer versions take one more, which matters to zeros only.
MAX_EXPONENT: Final = 1_073_741_822

#: A front matter that is longer than this is taken for text; libyaml takes seconds for 64 KiB of nested brackets.
MAX_FRONT_MATTER_CHARS: Final = 16_384

#: A longer heading names no section.
MAX_HEADING_CHARS: Final = 200

#: "Run"."companyId" is indexed, and an entry of a B-tree holds 2,704 bytes.
MAX_COMPANY_ID_BYTES: Final = 1024

#: Cards of one run; their numbers are 1 to this.
MAX_CARDS: Final = 5
