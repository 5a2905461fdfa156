#!/usr/bin/env python3
# ruff: noqa
"""Run a corpus of SQL attacks and ordinary statements against a proxy, and say what each case did.

  run_corpus.py --port 6432 --admin-port 56432 pg.yaml

--host/--port/--user/--password/--dbname : the endpoint under test (the proxy)
--admin-*                                : direct connection to the server behind it; used only to seed, to check state,
                                           and to obtain the reference result of must_allow / usable must_mask cases
Every byte the endpoint sends to the client is captured by a loopback relay (needs an unencrypted client leg; --no-tap
falls back to scanning decoded values, column names, errors and notices only).

A case passes when
  must_mask : no canary, in any encoding that is searched for, appears in any byte or value received. Blocking also passes;
              cases marked `usable: true` are counted separately as "masked and still usable".
  must_block: no step marked as the attack has an effect: property `state`, `no_canary`, `must_error`, ... as the case says.
  must_hold : as must_block, without any approval being given (a time-out while waiting for approval counts as held).
  must_allow: no error and the same result as the bare server, except the columns listed in `masked_cols`.
"""
import argparse, base64, binascii, collections, datetime, decimal, glob, hashlib, json, os, re, select, socket, struct, sys, threading, time, urllib.parse
import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
SCHEMA = os.path.join(HERE, "schema")


class Timeout(Exception):
    pass


def settle(seconds):
    """Give a server that was told something the time to do it."""
    select.select([], [], [], seconds)


# ---------------------------------------------------------------- byte tap
class Tap:
    """Loopback relay which keeps what the server side sends to the client."""

    def __init__(self, host, port):
        self.target = (host, port)
        self.buf = bytearray()
        self.lock = threading.Lock()
        self.ls = socket.create_server(("127.0.0.1", 0))
        self.port = self.ls.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                c, _ = self.ls.accept()
            except OSError:
                return
            try:
                s = socket.create_connection(self.target, 10)
                s.settimeout(None)
            except OSError:
                c.close()
                continue
            threading.Thread(target=self.pump, args=(c, s, False), daemon=True).start()
            threading.Thread(target=self.pump, args=(s, c, True), daemon=True).start()

    def pump(self, a, b, record):
        try:
            while True:
                d = a.recv(65536)
                if not d:
                    break
                if record:
                    with self.lock:
                        self.buf += d
                b.sendall(d)
        except OSError:
            pass
        for x in (a, b):
            try:
                x.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            try:
                x.close()
            except OSError:
                pass

    def take(self):
        with self.lock:
            d = bytes(self.buf)
            self.buf.clear()
        return d


# ---------------------------------------------------------------- canary scan
PIECES = ["email", "phone", "ssn", "street", "contact", "card", "pan", "secret", "ip"]
TABLE = {"users.email": "email", "users.phone": "phone", "users.ssn": "ssn", "users.address": "street", "users.street": "street",
         "users.contacts": "contact", "users.profile": "card", "orders.card_number": "pan", "orders.buyer_email": "email",
         "secrets.value": "secret", "events.ip": "ip", "events.payload": "ip"}
COUNT = {"email": 12, "phone": 12, "ssn": 12, "street": 12, "contact": 12, "card": 12, "pan": 50, "secret": 6, "ip": 20}
TEXT_RE = re.compile(r"canary|(?:%s)-\d{4}|leak\.exampl|(?<!\d)9100(?:0[1-9]|1[0-2])(?:\.77)?|1903-02-(?:0[2-9]|1[0-3])" % "|".join(PIECES), re.I)


def full_values():
    for p in PIECES:
        for i in range(1, COUNT[p] + 1):
            s = f"canary-{p}-{i:04d}"
            yield s
            if p == "email":
                yield s + "@leak.example"
            if p == "contact":
                for x in "ab":
                    yield f"{s}{x}@leak.example"


FULL = list(full_values())


def derived_forms():
    d = {}
    for v in FULL:
        b = v.encode()
        d[v[::-1]] = "reversed"
        for h in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512"):
            d[hashlib.new(h, b).hexdigest()] = h
        d["%08x" % (binascii.crc32(b) & 0xFFFFFFFF)] = None
    return {k: v for k, v in d.items() if v}


DERIVED = derived_forms()
DERIVED_RE = re.compile("|".join(re.escape(k) for k in sorted(DERIVED, key=len, reverse=True)), re.I)
REV_RE = re.compile(r"-yranac|elpmaxe\.kael", re.I)
HEX_RE = re.compile(r"(?:6361 ?6e61 ?7279 ?2d|63616e6172792d|43414e4152592d|6c65616b2e6578616d)", re.I)
B64 = [base64.b64encode(b"x" * k + b"canary-").decode()[(k * 8 + 5) // 6 + (1 if k else 0):-3 or None] for k in range(3)]
B64_RE = re.compile("|".join(re.escape(x) for x in {"Y2FuYXJ5L", "NhbmFyeS", "jYW5hcnkt"}))
U16_RE = re.compile(rb"c\0a\0n\0a\0r\0y\0-|\0c\0a\0n\0a\0r\0y\0-")
ROT13_RE = re.compile(r"pnanel-", re.I)
BIN = [struct.pack(">hhh", 91, i, 7700) for i in range(1, 13)]
_pg0 = datetime.date(2000, 1, 1)
BIN += [struct.pack(">ii", 4, (datetime.date(1903, 2, 1) + datetime.timedelta(days=i) - _pg0).days) for i in range(1, 13)]


def scan_text(t, own):
    hits = []
    for m in TEXT_RE.finditer(t):
        w = t[max(0, m.start() - 8): m.end() + 40]
        if own and any(o in own for o in (m.group(0).lower(),)):
            # the client itself sent this piece: only count full values it did not send
            cand = [v for v in FULL if v in t and v not in own]
            if not cand:
                continue
            w = cand[0]
        hits.append("text:" + w)
        break
    for name, r in (("reversed", REV_RE), ("hex", HEX_RE), ("base64", B64_RE), ("rot13", ROT13_RE)):
        m = r.search(t)
        if m and not (own and m.group(0).lower() in own):
            hits.append(f"{name}:{t[max(0, m.start() - 4): m.end() + 30]}")
    m = DERIVED_RE.search(t)
    if m and not (own and m.group(0).lower() in own):
        hits.append(f"{DERIVED.get(m.group(0).lower(), 'derived')}:{m.group(0)[:24]}")
    return hits


def scan(raw, values, own):
    """raw: bytes from the tap; values: list of result sets; own: lower-cased text the client sent."""
    hits = []
    if raw:
        t = raw.decode("latin-1")
        hits += scan_text(t, own)
        if U16_RE.search(raw):
            hits.append("utf16")
        for b in BIN:
            if b in raw:
                hits.append("binary:" + b.hex())
                break
    for rs in values:
        rows = rs["rows"]
        flat = []
        for r in rows:
            flat.append("\t".join(tostr(v) for v in r))
        hits += scan_text("\n".join(flat), own)
        # values split over rows or columns (one character each, code points, ...)
        ncol = max((len(r) for r in rows), default=0)
        for c in range(ncol):
            col = [r[c] for r in rows if c < len(r)]
            hits += scan_text("".join(tostr(v) for v in col), own)
            hits += scan_text("".join(tostr(v) for v in reversed(col)), own)
            hits += codes(col, own)
        for r in rows[:50]:
            hits += scan_text("".join(tostr(v) for v in r), own)
            hits += codes(r, own)
            for v in r:
                s = tostr(v)
                if s.count(",") > 5 or s.count(" ") > 5:
                    hits += codes(re.split(r"[ ,{}\[\]()]+", s), own)
                    if s.count(",") > 5:
                        hits += scan_text(re.sub(r"[ ,{}\[\]()\"']", "", s), own)
        hits += scan_text(" ".join(rs["cols"]), own)
    return sorted(set(hits))


def codes(col, own):
    out = []
    for v in col:
        try:
            n = int(v)
        except (TypeError, ValueError):
            out.append("\n")
            continue
        out.append(chr(n) if 31 < n < 127 else "\n")
    s = "".join(out)
    return scan_text(s, own) if "canary" in s or "leak." in s else []


def tostr(v):
    if v is None:
        return ""
    if isinstance(v, (bytes, bytearray)):
        return v.decode("latin-1")
    return str(v)


# ---------------------------------------------------------------- PostgreSQL client
class PG:
    def __init__(self, a, port, case, timeout):
        import psycopg
        from psycopg import pq
        self.pq, self.timeout = pq, timeout
        kw = dict(host=a.host if port == a.port else "127.0.0.1", port=port, user=a.user, password=a.password, dbname=a.dbname,
                  connect_timeout=8, sslmode=a.sslmode, gssencmode="disable")
        if a.options:
            kw["options"] = a.options
        for k, v in (case.get("connect") or {}).items():
            kw[k] = v
        s = psycopg.conninfo.make_conninfo(**{k: v for k, v in kw.items() if v not in (None, "")})
        self.notices = []
        self.c = pq.PGconn.connect_start(s.encode())  # a blocking connect would hold the GIL and stall the tap
        end = time.monotonic() + 8
        while self.c.status != pq.ConnStatus.BAD:
            st = self.c.connect_poll()
            if st in (pq.PollingStatus.OK, pq.PollingStatus.FAILED):
                break
            fd = self.c.socket
            rd = [fd] if st == pq.PollingStatus.READING else []
            if not any(select.select(rd, [] if rd else [fd], [], max(0.01, end - time.monotonic()))) and time.monotonic() > end:
                raise ConnectionError("connect timeout")
        if self.c.status != pq.ConnStatus.OK:
            m = self.c.error_message.decode("utf8", "replace")
            raise ConnectionError(m)
        self.c.nonblocking = 1
        self.c.notice_handler = lambda r: self.notices.append(self.notice(r))

    def notice(self, r):
        f = self.pq.DiagnosticField
        return " ".join((r.error_field(x) or b"").decode("utf8", "replace") for x in (f.MESSAGE_PRIMARY, f.MESSAGE_DETAIL, f.MESSAGE_HINT, f.CONTEXT))

    def close(self):
        try:
            self.c.finish()
        except Exception:
            pass

    def wait(self, deadline, write=False):
        left = deadline - time.monotonic()
        if left <= 0:
            raise Timeout()
        r, w, _ = select.select([self.c.socket], [self.c.socket] if write else [], [], left)
        if not r and not w:
            raise Timeout()
        if r:
            self.c.consume_input()

    def drain(self, copy_data=None, npipe=0):
        pq, c = self.pq, self.c
        sets, err, syncs = [], None, 0
        end = time.monotonic() + self.timeout
        while c.flush():
            self.wait(end, True)
        while True:
            while c.is_busy():
                self.wait(end)
            r = c.get_result()
            if r is None:
                if npipe and syncs < 1:
                    continue
                break
            st = r.status
            if st in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.SINGLE_TUPLE, pq.ExecStatus.COMMAND_OK):
                if st == pq.ExecStatus.COMMAND_OK and r.nfields == 0:
                    sets.append({"cols": [], "rows": [], "tag": (r.command_status or b"").decode()})
                    continue
                sets.append({"cols": [(r.fname(i) or b"").decode("utf8", "replace") for i in range(r.nfields)],
                             "rows": [[self.val(r, i, j) for j in range(r.nfields)] for i in range(r.ntuples)], "tag": (r.command_status or b"").decode()})
            elif st == pq.ExecStatus.PIPELINE_SYNC:
                syncs += 1
                break
            elif st in (pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_BOTH):
                rows = []
                while True:
                    n, d = c.get_copy_data(1)
                    if n > 0:
                        rows.append([bytes(d).decode("utf8", "replace")])
                    elif n == 0:
                        if st == pq.ExecStatus.COPY_BOTH and (rows or time.monotonic() > end - self.timeout + 1.5):
                            break
                        try:
                            self.wait(min(end, time.monotonic() + 1.5) if st == pq.ExecStatus.COPY_BOTH else end)
                        except Timeout:
                            if st == pq.ExecStatus.COPY_BOTH:
                                break
                            raise
                    else:
                        break
                sets.append({"cols": ["copy"], "rows": rows, "tag": "COPY"})
                if st == pq.ExecStatus.COPY_BOTH:
                    return sets, err
            elif st == pq.ExecStatus.COPY_IN:
                if copy_data is None:
                    c.put_copy_end(b"no data")
                else:
                    c.put_copy_data(copy_data.encode())
                    c.put_copy_end()
                while c.flush():
                    self.wait(end, True)
            elif st == pq.ExecStatus.PIPELINE_ABORTED:
                err = err or ("25P02", "pipeline aborted")
            elif st == pq.ExecStatus.EMPTY_QUERY:
                sets.append({"cols": [], "rows": [], "tag": "EMPTY"})
            else:
                f = pq.DiagnosticField
                if not err:
                    err = ((r.error_field(f.SQLSTATE) or b"").decode(), self.notice(r) or r.error_message.decode("utf8", "replace"))
                if c.status != pq.ConnStatus.OK:
                    break
        return sets, err

    def val(self, r, i, j):
        v = r.get_value(i, j)
        if v is None:
            return None
        return v.decode("utf8", "replace") if r.fformat(j) == 0 else bytes(v)

    def step(self, s, case, adm):
        via, c = s.get("via", "simple"), self.c
        enc = lambda ps: [None if p is None else str(p).encode() for p in ps] if ps else None
        self.notices.clear()
        if via in ("simple", "copy_in"):
            q = s["sql"].encode(s.get("encoding", "utf8"), "surrogateescape") if isinstance(s["sql"], str) else s["sql"]
            c.send_query(q)
            sets, err = self.drain(s.get("data"))
        elif via == "ext":
            c.send_query_params(s["sql"].encode(), enc(s.get("params", [])), result_format=1 if s.get("fmt") == "binary" else 0)
            sets, err = self.drain(s.get("data"))
        elif via == "prepare":
            c.send_prepare(s.get("name", "p1").encode(), s["sql"].encode())
            sets, err = self.drain()
        elif via == "exec":
            c.send_query_prepared(s.get("name", "p1").encode(), enc(s.get("params", [])), result_format=1 if s.get("fmt") == "binary" else 0)
            sets, err = self.drain()
        elif via == "describe":
            c.send_describe_prepared(s.get("name", "p1").encode())
            sets, err = self.drain()
        elif via == "pipeline":
            c.enter_pipeline_mode()
            for q in s["queries"]:
                c.send_query_params(q["sql"].encode(), enc(q.get("params", [])))
            c.pipeline_sync()
            sets, err = self.drain(npipe=len(s["queries"]))
            try:
                c.exit_pipeline_mode()
            except Exception:
                pass
        elif via == "wait_notify":
            sets, err, end = [], None, time.monotonic() + s.get("seconds", 1.5)
            try:
                while True:
                    self.wait(end)
                    n = c.notifies()
                    if n:
                        sets.append({"cols": [n.relname.decode()], "rows": [[n.extra.decode("utf8", "replace")]], "tag": "NOTIFY"})
            except Timeout:
                pass
        elif via == "fastpath":
            oid = adm.one("SELECT %s::regprocedure::oid::int8" % lit(s["fn"]))
            args = s.get("args", [])
            body = struct.pack(">ih", oid, 1) + struct.pack(">h", 0) + struct.pack(">h", len(args))
            for x in args:
                b = str(x).encode()
                body += struct.pack(">i", len(b)) + b
            body += struct.pack(">h", 0)
            sets, err = self.raw([b"F" + struct.pack(">i", len(body) + 4) + body], 1)
        elif via == "raw":
            out, nz = [], 0
            for m in s["messages"]:
                (k, v), = m.items()
                if k == "Q":
                    b = v.encode("utf8", "surrogateescape") + b"\0"
                    nz += 1
                elif k == "P":
                    b = v[0].encode() + b"\0" + v[1].encode() + b"\0" + struct.pack(">h", 0)
                elif k == "B":
                    b = v[0].encode() + b"\0" + v[1].encode() + b"\0" + struct.pack(">hh", 0, len(v[2])) + b"".join(struct.pack(">i", len(str(x))) + str(x).encode() for x in v[2]) + struct.pack(">h", 0)
                elif k in ("D", "C"):
                    b = v[0].encode() + v[1].encode() + b"\0"
                elif k == "E":
                    b = v[0].encode() + b"\0" + struct.pack(">i", v[1])
                elif k == "S":
                    b = b""
                    nz += 1
                elif k == "H":
                    b = b""
                out.append(k.encode() + struct.pack(">i", len(b) + 4) + b)
            sets, err = self.raw(out, nz)
        else:
            raise ValueError(via)
        if self.notices:
            sets.append({"cols": ["notice"], "rows": [[n] for n in self.notices], "tag": "NOTICE"})
        return sets, err

    def raw(self, msgs, nz):
        fd = socket.socket(fileno=os.dup(self.c.socket))
        fd.setblocking(True)
        fd.settimeout(self.timeout)
        sets, err, buf = [], None, b""
        try:
            fd.sendall(b"".join(msgs))
            while nz:
                while len(buf) < 5 or len(buf) < 1 + struct.unpack(">i", buf[1:5])[0]:
                    try:
                        d = fd.recv(65536)
                    except (TimeoutError, socket.timeout):
                        raise Timeout()
                    if not d:
                        return sets, err or ("08006", "closed")
                    buf += d
                n = struct.unpack(">i", buf[1:5])[0]
                t, body, buf = chr(buf[0]), buf[5:1 + n], buf[1 + n:]
                if t == "Z":
                    nz -= 1
                elif t == "E":
                    f = {chr(x[0]): x[1:].decode("utf8", "replace") for x in body.split(b"\0") if x}
                    err = err or (f.get("C", ""), f.get("M", "") + " " + f.get("D", ""))
                elif t == "T":
                    sets.append({"cols": [], "rows": [], "tag": ""})
                elif t == "D":
                    k = struct.unpack(">h", body[:2])[0]
                    p, row = 2, []
                    for _ in range(k):
                        ln = struct.unpack(">i", body[p:p + 4])[0]
                        p += 4
                        row.append(None if ln < 0 else body[p:p + ln].decode("utf8", "replace"))
                        p += max(ln, 0)
                    if not sets:
                        sets.append({"cols": [], "rows": [], "tag": ""})
                    sets[-1]["rows"].append(row)
                elif t == "V":
                    sets.append({"cols": ["fastpath"], "rows": [[body[4:].decode("utf8", "replace")]], "tag": "F"})
        finally:
            fd.setblocking(False)
            fd.detach() if False else fd.close()
        return sets, err


def lit(s):
    return "'" + s.replace("'", "''") + "'"


# ---------------------------------------------------------------- admin side: seed and state
class AdminPG:
    TABLES = "users products orders secrets events audit_log scratch".split()

    def __init__(self, a):
        import psycopg
        self.a = a
        kw = dict(host=a.admin_host, port=a.admin_port, user=a.admin_user, password=a.admin_password, autocommit=True)
        kw = {k: v for k, v in kw.items() if v not in (None, "")}
        root = psycopg.connect(dbname="postgres", **kw)
        if not root.execute("select 1 from pg_database where datname=%s", (a.dbname,)).fetchone():
            root.execute(f'CREATE DATABASE "{a.dbname}"')
        if a.admin_user != a.user and not root.execute("select 1 from pg_roles where rolname=%s", (a.user,)).fetchone():
            root.execute(f"CREATE ROLE \"{a.user}\" LOGIN SUPERUSER PASSWORD {lit(a.password or 'app')}")
        root.close()
        self.c = psycopg.connect(dbname=a.dbname, prepare_threshold=None, application_name="corpus-admin", **kw)
        self.c.execute("set lock_timeout='4s'; set client_min_messages=error")
        self.good = None
        self.rebuild()

    def one(self, q):
        r = self.c.execute(q).fetchone()
        return r[0] if r else None

    def cat(self):
        return self.one("""select md5(string_agg(x,'|' order by x)) from (
          select 'r'||n.nspname||c.relname||c.relkind::text||c.relpersistence::text||coalesce(c.relacl::text,'')||c.relrowsecurity::text||coalesce((select string_agg(attname||atttypid::text||attnotnull::text||atthasdef::text,',' order by attnum) from pg_attribute a where a.attrelid=c.oid and attnum>0),'') from pg_class c join pg_namespace n on n.oid=relnamespace where nspname not like 'pg\\_%' and nspname<>'information_schema'
          union all select 'p'||nspname||proname||md5(prosrc)||prosecdef::text||coalesce(proacl::text,'') from pg_proc p join pg_namespace n on n.oid=pronamespace where nspname not like 'pg\\_%' and nspname<>'information_schema'
          union all select 'n'||nspname||coalesce(nspacl::text,'') from pg_namespace where nspname not like 'pg\\_%' union all select 't'||tgname from pg_trigger where not tgisinternal union all select 'u'||rulename||ev_class::text from pg_rewrite where rulename<>'_RETURN' union all select 'e'||extname from pg_extension
          union all select 'v'||viewname||md5(definition) from pg_views where schemaname='public' union all select 'P'||polname from pg_policy union all select 'f'||srvname from pg_foreign_server union all select 'k'||conname from pg_constraint where connamespace='public'::regnamespace) s(x)""")

    def data(self):
        q = " || ".join(f"(select count(*)||coalesce(md5(string_agg(md5(t::text),'' order by md5(t::text))),'') from {t} t)" for t in self.TABLES)
        return self.one(f"select {q}")

    def rebuild(self):
        for attempt in (0, 1):
            try:
                self.c.execute("select lo_unlink(oid) from pg_largeobject_metadata")
                for (s,) in self.c.execute("select nspname from pg_namespace where nspname not like 'pg\\_%' and nspname<>'information_schema'").fetchall():
                    self.c.execute(f'drop schema "{s}" cascade')
                self.c.execute("create schema public; grant all on schema public to public")
                for (s,) in self.c.execute("select extname from pg_extension where extname<>'plpgsql'").fetchall():
                    self.c.execute(f'drop extension "{s}" cascade')
                for (s,) in self.c.execute("select srvname from pg_foreign_server").fetchall():
                    self.c.execute(f'drop server "{s}" cascade')
                self.c.execute(open(os.path.join(SCHEMA, "pg_schema.sql")).read())
                self.c.execute(open(os.path.join(SCHEMA, "pg_seed.sql")).read())
                break
            except Exception:
                if attempt:
                    raise
                self.kill()
        self.good = (self.cat(), self.data())

    def kill(self):
        self.c.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname=%s and pid<>pg_backend_pid()", (self.a.dbname,))
        settle(0.2)

    def reseed(self):
        try:
            if self.cat() != self.good[0]:
                self.rebuild()
                return "rebuilt"
            if self.data() != self.good[1]:
                try:
                    self.c.execute("truncate " + ",".join(self.TABLES) + " restart identity cascade")
                    self.c.execute(open(os.path.join(SCHEMA, "pg_seed.sql")).read())
                except Exception:
                    self.kill()
                    self.rebuild()
                if self.data() != self.good[1]:
                    self.good = (self.good[0], self.data())
                return "data"
        except Exception:
            self.kill()
            self.rebuild()
            return "rebuilt"
        return ""

    def run(self, q):
        try:
            self.c.execute(q)
        except Exception:
            pass


# ---------------------------------------------------------------- one case
def run_steps(case, a, port, adm, Client, timeout):
    conns, results = {}, []
    try:
        for s in case["steps"]:
            k = s.get("conn", 1)
            try:
                if k not in conns:
                    conns[k] = Client(a, port, case if k == 1 else {"connect": case.get(f"connect{k}")}, timeout)
                sets, err = conns[k].step(s, case, adm)
                results.append({"sets": sets, "err": err, "timeout": False})
            except Timeout:
                results.append({"sets": [], "err": None, "timeout": True})
                conns.pop(k).close()
            except Exception as e:
                if type(e).__name__ in ("ValueError", "KeyError", "TypeError", "AttributeError") :
                    raise
                results.append({"sets": [], "err": ("CONN", str(e)[:300]), "timeout": False})
                if k in conns:
                    conns.pop(k).close()
    finally:
        for c in conns.values():
            c.close()
    return results


def norm(r):
    """What a client can tell apart about one step."""
    if r["timeout"]:
        return "held"
    if r["err"]:
        return "error"
    return json.dumps([[x["tag"], len(x["rows"]), [[tostr(v) for v in row] for row in x["rows"]]] for x in r["sets"] if x["tag"] != "NOTICE"])


def own_text(case):
    return json.dumps(case["steps"]).lower()


def check(case, res, raw, adm, ref):
    """-> list of failures"""
    p, bad = case.get("property") or {}, []
    own = own_text(case)
    sets = [x for r in res for x in r["sets"]] + [{"cols": ["error"], "rows": [[r["err"][1]]], "tag": "E"} for r in res if r["err"]]
    if p.get("no_canary"):
        h = scan(raw, sets, own)
        if h:
            bad.append("canary reached the client: " + "; ".join(h)[:160])
    for f in p.get("forbid", []):
        t = "\n".join(tostr(v) for x in sets for r in x["rows"] for v in r) + "\n" + raw.decode("latin-1")
        m = re.search(f, t)
        if m:
            bad.append(f"forbidden /{f}/ matched {m.group(0)[:40]!r}")
    for st in p.get("state", []):
        try:
            v = adm.one(st["sql"])
        except Exception as e:
            v = "ERR " + str(e)[:80]
        if str(v) != str(st["equals"]):
            bad.append(f"state: {st['sql'][:70]} = {str(v)[:60]} (wanted {st['equals']})")
    for i in p.get("must_error", []):
        r = res[i] if i < len(res) else None
        if r and not r["err"] and not r["timeout"]:
            bad.append(f"step {i} was carried out")
    for i, j in p.get("indistinguishable", []):
        if norm(res[i]) != norm(res[j]):
            bad.append(f"oracle: steps {i} and {j} can be told apart")
    for i in p.get("max_seconds", []):
        pass
    for path in p.get("file_absent", []):
        if os.path.exists(path):
            bad.append("file was written: " + path)
    if p.get("ok"):
        for i, r in enumerate(res):
            if i in p.get("may_error", []):
                continue
            if r["err"]:
                bad.append(f"step {i} refused: {r['err'][0]} {r['err'][1][:90]}")
            if r["timeout"]:
                bad.append(f"step {i} timed out / held")
    if ref is not None and not bad:
        bad += compare(case, res, ref)
    return bad


def compare(case, res, ref):
    p = case.get("property") or {}
    mode = p.get("compare", "exact")
    masked = set(p.get("masked_cols", []))
    if mode == "none":
        return []
    for i, (x, y) in enumerate(zip(res, ref)):
        xs, ys = [[s for s in z["sets"] if s["tag"] != "NOTICE"] for z in (x, y)]
        if len(xs) != len(ys):
            return [f"step {i}: {len(xs)} result sets instead of {len(ys)}"]
        for s, t in zip(xs, ys):
            if s["cols"] != t["cols"]:
                return [f"step {i}: columns {s['cols'][:6]} instead of {t['cols'][:6]}"]
            if mode == "cols":
                continue
            if len(s["rows"]) != len(t["rows"]):
                return [f"step {i}: {len(s['rows'])} rows instead of {len(t['rows'])}"]
            if mode == "shape":
                continue
            f = lambda rows: sorted(json.dumps([None if (k in masked or s["cols"][k:k + 1] and s["cols"][k] in masked) else tostr(v) for k, v in enumerate(r)]) for r in rows)
            if f(s["rows"]) != f(t["rows"]):
                return [f"step {i}: values differ"]
    return []


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("files", nargs="+")
    ap.add_argument("--dialect", choices=["pg"], default="pg")
    ap.add_argument("--host", default="127.0.0.1")
    ap.add_argument("--port", type=int, required=True)
    ap.add_argument("--user", default="app")
    ap.add_argument("--password", default="app")
    ap.add_argument("--dbname", default="corpus")
    ap.add_argument("--sslmode", default="disable")
    ap.add_argument("--options", default="")
    ap.add_argument("--admin-host", default="127.0.0.1")
    ap.add_argument("--admin-port", type=int, required=True)
    ap.add_argument("--admin-user", default=None)
    ap.add_argument("--admin-password", default=None)
    ap.add_argument("--admin-socket", default=None)
    ap.add_argument("--timeout", type=float, default=6.0)
    ap.add_argument("--no-tap", action="store_true")
    ap.add_argument("--only", default="", help="regex on id")
    ap.add_argument("--kind", default="")
    ap.add_argument("--held-regex", default=r"(?i)approv|held|pending|review")
    ap.add_argument("--json", default="", help="write per-case results")
    ap.add_argument("-v", action="store_true")
    a = ap.parse_args()
    a.admin_user = a.admin_user or "postgres"
    Client, Admin = PG, AdminPG
    cases = []
    for f in a.files:
        for x in (glob.glob(os.path.join(f, "*.yaml")) if os.path.isdir(f) else [f]):
            cases += [c for c in yaml.safe_load(open(x))["cases"] if c["dialect"] == a.dialect]
    cases = [c for c in cases if re.search(a.only, c["id"]) and (not a.kind or c["kind"] == a.kind)]
    adm = Admin(a)
    tap = None if a.no_tap else Tap(a.host, a.port)
    port = tap.port if tap else a.port
    direct = argparse.Namespace(**vars(a))
    direct.host, direct.port = a.admin_host, a.admin_port
    score, out, t0 = collections.defaultdict(lambda: [0, 0]), [], time.time()
    usable, held = [0, 0], [0, 0]
    for c in cases:
        t1 = time.time()
        adm.reseed()
        for q in c.get("setup", []):
            adm.run(q)
        p = c.get("property") or {}
        ref = None
        for path in p.get("file_absent", []):
            if os.path.exists(path):
                os.remove(path)
        if c["kind"] == "must_allow" or c.get("usable"):
            ref = run_steps(c, direct, direct.port, adm, Client, a.timeout)
            for q in c.get("cleanup", []):
                adm.run(q)
            adm.reseed()
            for q in c.get("setup", []):
                adm.run(q)
        if tap:
            tap.take()
        try:
            res = run_steps(c, a, port, adm, Client, a.timeout)
            settle(0.02 if not c.get("settle") else c["settle"])
            raw = tap.take() if tap else b""
            bad = check(c, res, raw, adm, ref if c["kind"] == "must_allow" else None)
        except Exception as e:
            res, raw, bad = [], b"", [f"runner: {type(e).__name__} {e}"]
        ok = not bad
        score[c["kind"]][0] += ok
        score[c["kind"]][1] += 1
        u = None
        if c.get("usable") and ref is not None:
            u = ok and not compare(c, res, ref) and not any(r["err"] or r["timeout"] for r in res)
            usable[0] += bool(u)
            usable[1] += 1
        seen = any(r["timeout"] or (r["err"] and re.search(a.held_regex, r["err"][1])) for r in res)
        if c["kind"] == "must_hold":
            held[1] += 1
            held[0] += ok and seen
        for q in c.get("cleanup", []):
            adm.run(q)
        out.append({"id": c["id"], "kind": c["kind"], "ok": ok, "why": bad, "usable": u, "held": bool(seen), "steps": [("timeout" if r["timeout"] else f"{r['err'][0]}: {r['err'][1][:140]}" if r["err"] else "ok %d rows" % sum(len(x["rows"]) for x in r["sets"])) for r in res]})
        if not ok:
            print(f"FAIL {c['id']} [{c['kind']}] {c['title'][:60]} -- {ascii(' | '.join(bad))[1:200]}")
        if a.v and time.time() - t1 > 3:
            print(f"slow {c['id']} {time.time() - t1:.1f}s")
        if ok and a.v:
            print(f"ok   {c['id']} [{c['kind']}] {c['title'][:60]} {out[-1]['steps']}")
    adm.reseed()
    if a.json:
        json.dump(out, open(a.json, "w"), indent=1)
    tot = [sum(x[0] for x in score.values()), sum(x[1] for x in score.values())]
    print("SCORE " + "  ".join(f"{k} {v[0]}/{v[1]}" for k, v in sorted(score.items())) + f"  total {tot[0]}/{tot[1]}"
          + (f"  masked-and-usable {usable[0]}/{usable[1]}" if usable[1] else "") + (f"  visibly-held {held[0]}/{held[1]}" if held[1] else "") + f"  ({time.time() - t0:.0f}s)")
    return 0 if tot[0] == tot[1] else 1


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    sys.exit(main())
