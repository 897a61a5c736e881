"""Which words a database keeps for itself: a column or a table that would be named so gets a leading underscore.

In lower case. Names are always quoted, so these lists keep an analyst from having to quote them, and keep the names
that RudderStack's models know. ClickHouse reserves no word; its list holds those that its parser takes for the
beginning of the next clause, and the main words of SQL.

Source: PostgreSQL 17, appendix C (reserved, with or without "can be function or type") and section 5.6 (system
columns); DuckDB 2.0, `duckdb_keywords()` as far as they are refused as names; BigQuery, lexical structure, and column
names; Snowflake, reserved and limited keywords; Amazon Redshift, reserved words; Databricks, ANSI reserved words;
ClickHouse, syntax.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SYSTEM_COLUMNS = _words("cmax cmin ctid tableoid xmax xmin")
"""Postgres and what descends from it refuse these as names of columns, quoted or not."""

DUCKDB = _words(
    """
    all analyse analyze and anti any array as asc asof asymmetric at authorization binary both by case cast check
    collate collation column concurrently constraint create cross default deferrable desc describe distinct do else end
    except false fetch for foreign freeze from full glob group having ilike in initially inner intersect into is isnull
    join lambda lateral leading left like limit natural not notnull null offset on only or order outer overlaps pivot
    pivot_longer pivot_wider placing positional primary qualify references returning right select semi show similar
    some summarize symmetric table tablesample then to trailing true union unique unpack unpivot using variadic verbose
    when where window with
    """
)

POSTGRES = _SYSTEM_COLUMNS | _words(
    """
    all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate collation
    column concurrently constraint create cross current_catalog current_date current_role current_schema current_time
    current_timestamp current_user default deferrable desc distinct do else end except false fetch for foreign freeze
    from full grant group having ilike in initially inner intersect into is isnull join lateral leading left like limit
    localtime localtimestamp natural not notnull null offset on only or order outer overlaps placing primary references
    returning right select session_user similar some symmetric system_user table tablesample then to trailing true
    union unique user using variadic verbose when where window with
    """
)

CLICKHOUSE = _words(
    """
    all and anti any array as asc asof between by case cast create cross default desc distinct else end except exists
    false final for format from full global group grouping having if ilike in inner insert intersect interval into is
    join left like limit not null offset on only or order outer paste prewhere primary qualify right sample select semi
    settings table then to true union using values when where window with
    """
)

BIGQUERY = _words(
    """
    all and any array as asc assert_rows_modified at between by case cast collate contains create cross cube current
    default define desc distinct else end enum escape except exclude exists extract false fetch following for from full
    graph_table group grouping groups hash having if ignore in inner intersect interval into is join lateral left like
    limit lookup merge natural new no not null nulls of on or order outer over partition preceding proto qualify range
    recursive respect right rollup rows select set some struct tablesample then to treat true unbounded union unnest
    using when where window with within
    """
)

BIGQUERY_PREFIXES = (
    "_partition",
    "_table_",
    "_file_",
    "_row_timestamp",
    "__root__",
    "_colidentifier",
    "_change_sequence_number",
    "_change_type",
    "_change_timestamp",
)
"""BigQuery refuses columns whose names begin so, in any case."""

SNOWFLAKE = _words(
    """
    account all alter and any as between by case cast check column connect connection constraint create cross current
    current_date current_time current_timestamp current_user database delete distinct drop else exists false following
    for from full grant group gscluster having ilike in increment inner insert intersect into is issue join lateral
    left like localtime localtimestamp minus natural not null of on or order organization qualify regexp revoke right
    rlike row rows sample schema select set some start table tablesample then to trigger true try_cast union unique
    update using values view when whenever where with
    """
)

REDSHIFT = _SYSTEM_COLUMNS | _words(
    """
    aes128 aes256 all allowoverwrite analyse analyze and any array as asc authorization az64 backup between binary
    blanksasnull both bytedict bzip2 case cast check collate column connect constraint create credentials cross
    current_date current_time current_timestamp current_user current_user_id default deferrable deflate defrag delta
    delta32k deletexid desc disable distinct do else emptyasnull enable encode encrypt encryption end except explicit
    false for foreign freeze from full globaldict256 globaldict64k grant group gzip having identity ignore ilike in
    initially inner insertxid intersect interval into is isnull join language leading left like limit localtime
    localtimestamp lun luns lzo lzop minus mostly16 mostly32 mostly8 natural new not notnull null nulls off offline
    offset oid old on only open or order outer overlaps parallel partition percent permissions pivot placing primary
    raw readratio recover references rejectlog resort respect restore right select session_user similar snapshot some
    sysdate system table tag tdes text255 text32k then timestamp to top trailing true truncatecolumns union unique
    unnest unpivot user using verbose wallet when where with without
    """
)

DATABRICKS = _words(
    """
    all alter and anti any array as at authorization between both by case cast check collate column commit constraint
    create cross cube current current_date current_time current_timestamp current_user delete describe distinct drop
    else end escape except exists external extract false fetch filter for foreign from full function global grant group
    grouping having in inner insert intersect interval into is join lateral leading left like local merge minus natural
    no not null of on only or order out outer overlaps partition position primary range recursive references revoke
    right rollback rollup row rows select semi session_user set some start table tablesample then time to trailing true
    truncate union unique unknown update user using values when where window with
    """
)
