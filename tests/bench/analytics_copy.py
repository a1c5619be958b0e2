"""Run by a Python that has psycopg 3, given where: rows a second by COPY of 500 at a time into a plain copy of request_logs."""

import json
import sys
import time

import psycopg  # type: ignore[import-not-found]

BATCH, BATCHES = 500, 10

url, row = json.loads(sys.stdin.read())
with psycopg.connect(url) as connection:
    connection.execute("DROP TABLE IF EXISTS bench_copy")
    connection.execute(
        "CREATE TABLE bench_copy (request_id uuid PRIMARY KEY, " + ", ".join(f"c{n} text" for n in range(len(row))) + ")"
    )
    connection.execute("CREATE INDEX ON bench_copy (c0, request_id DESC)")
    connection.commit()
    started = time.perf_counter()
    for _ in range(BATCHES):
        ids = [one[0] for one in connection.execute("SELECT uuidv7() FROM generate_series(1, %s)", [BATCH])]
        with connection.cursor() as cursor, cursor.copy("COPY bench_copy FROM STDIN") as copy:
            for one in ids:
                copy.write_row([one, *row])
        connection.commit()
    print(BATCH * BATCHES / (time.perf_counter() - started))
