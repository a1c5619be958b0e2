"""Run by a Python that has psycopg 3: rows a second by COPY, 500 at a time, into a table with all that request_logs has."""

import json
import sys
import time

import psycopg  # type: ignore[import-not-found]

BATCH, BATCHES = 500, 10

url, row = json.loads(sys.stdin.read())
names = ", ".join(("request_id", *row))
values = [json.dumps(value) if isinstance(value, dict) else value for value in row.values()]
with psycopg.connect(url) as connection:
    connection.execute("DROP TABLE IF EXISTS bench_copy")
    connection.execute("CREATE TABLE bench_copy (LIKE public.request_logs INCLUDING ALL)")
    connection.commit()
    ids = [one[0] for one in connection.execute("SELECT uuidv7() FROM generate_series(1, %s)", [BATCH * BATCHES])]
    started = time.perf_counter()
    for first in range(0, len(ids), BATCH):
        with connection.cursor() as cursor, cursor.copy(f"COPY bench_copy ({names}) FROM STDIN") as copy:
            for one in ids[first : first + BATCH]:
                copy.write_row([one, *values])
        connection.commit()
    print(BATCH * BATCHES / (time.perf_counter() - started))
