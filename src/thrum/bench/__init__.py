"""The papers' tables: which method, on which data, against which published number.

``tables`` what a table is, read from ``tables/*.toml`` | ``sources`` the data it wants | ``cells`` one
method on one set of data with one seed | ``running`` all cells of a table, ``processes`` several at a
time | ``scores`` what a cell is worth | ``figures`` published numbers and ours | ``pages`` CSV, Markdown,
HTML and JSON of them | ``needs`` what a table costs.
"""
