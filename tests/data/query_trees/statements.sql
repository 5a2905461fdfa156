15 SELECT id, mail, name AS n, p.* FROM person p
15 SELECT u.c2 FROM person u(c1, c2)
15 SELECT mail::text, mail::varchar, name::varchar(3), pay::int, name COLLATE "C", id::text, $1::int FROM person
15 SELECT "a b", "c(d)", "e""f", "g\h", "x y".":k" FROM (SELECT mail AS "a b", name AS "c(d)", id AS "e""f", pay AS "g\h", born AS ":k" FROM person) AS "x y"
15 SELECT mail FROM person p LEFT JOIN account a ON p.id = a.owner AND a.card LIKE '4%'
15 SELECT id FROM person FULL JOIN account USING (id)
15 SELECT q.id FROM person p JOIN account a USING (id) AS q
15 SELECT p.mail FROM person p, LATERAL (SELECT a.* FROM account a WHERE a.owner = p.id AND p.pay > 3 LIMIT 1) l
15 SELECT (SELECT p.mail), ARRAY(SELECT card FROM account ORDER BY total), EXISTS (SELECT FROM account WHERE login = p.mail) FROM person p
15 (SELECT mail FROM person UNION ALL SELECT login FROM account) EXCEPT ALL (SELECT name FROM person INTERSECT SELECT 'x') ORDER BY 1 LIMIT 3
15 SELECT mail FROM person UNION ALL SELECT 'x' UNION ALL SELECT upper(name) FROM person
15 WITH w AS (SELECT mail FROM person), w2 AS (SELECT * FROM w), w3 AS (SELECT * FROM w2 a, w2 b) SELECT * FROM w3 a, w3 b
15 WITH RECURSIVE t(n, m) AS (SELECT id, mail::text FROM person UNION ALL SELECT n + 1, m FROM t WHERE n < 5) SELECT m, n FROM t
15 WITH RECURSIVE t(a, b, c) AS (SELECT mail::text, 'x', 'y' FROM person UNION ALL SELECT c, a, b FROM t) SELECT a, b, c FROM t
15 WITH RECURSIVE t(n, m) AS (SELECT id, mail::text FROM person UNION SELECT n + 1, m FROM t) SEARCH DEPTH FIRST BY n SET o CYCLE m SET is_c USING pth SELECT m FROM t
15 WITH a AS (INSERT INTO notes SELECT id, mail FROM person RETURNING body), b AS MATERIALIZED (SELECT * FROM a) SELECT * FROM b
15 VALUES (1, 'a'), (2, (SELECT mail FROM person LIMIT 1))
15 SELECT * FROM ROWS FROM (generate_series(1, 3), json_to_recordset('[]') AS (a int, b text)) WITH ORDINALITY AS f(q, w, e, o)
15 SELECT f.* FROM person p, unnest(p.tags, ARRAY[p.id]) WITH ORDINALITY f(a, b, c)
15 SELECT t.* FROM person, XMLTABLE('/a' PASSING doc COLUMNS v text PATH 'v' DEFAULT name) t
17 SELECT t.* FROM person, JSON_TABLE(data, '$[*]' COLUMNS (n FOR ORDINALITY, a int PATH '$.a', NESTED PATH '$.c[*]' COLUMNS (z int PATH '$'))) t
15 SELECT (p).mail, (p.home).city, p, p::text, to_jsonb(p) FROM person p
15 SELECT (x.p).mail, x.p FROM (SELECT p FROM person p) x
15 SELECT (x).mail, x FROM (SELECT id, mail FROM person) x
15 SELECT (ROW(id, mail)).f2 FROM person
15 SELECT mail(person), (SELECT p FROM person p LIMIT 1).name FROM person
15 SELECT (child::person).mail FROM child
15 SELECT tags[1], ARRAY[mail, name], data->'a', GREATEST(mail, name), COALESCE(mail, name), NULLIF(mail, name) FROM person
15 SELECT CASE WHEN mail LIKE 'a%' THEN 1 END, CASE id WHEN 1 THEN name ELSE 'x' END, mail IS DISTINCT FROM 'x' FROM person
16 SELECT JSON_OBJECT('a': mail), JSON_ARRAY(mail, id), JSON_ARRAYAGG(mail), data IS JSON FROM person GROUP BY mail, id, data
17 SELECT JSON_VALUE(data, '$.a' RETURNING int DEFAULT 1 ON EMPTY), JSON_EXISTS(data, '$.c' PASSING name AS n) FROM person
15 SELECT count(*), count(mail), count(DISTINCT name), max(mail), sum(pay) FILTER (WHERE name = 'x'), string_agg(name, ',' ORDER BY born) FROM person
15 SELECT max(mail) || 'x', percentile_cont(0.5) WITHIN GROUP (ORDER BY pay), joined(name) FROM person
15 SELECT row_number() OVER (), rank() OVER (ORDER BY mail), count(*) OVER (PARTITION BY name), lag(name) OVER w, count(*) OVER (ORDER BY pay) FROM person WINDOW w AS (PARTITION BY born ORDER BY id)
15 SELECT name, born, count(*), GROUPING(name, born) FROM person GROUP BY GROUPING SETS ((name), CUBE (born)) HAVING max(pay) > 3
15 SELECT lower(mail) FROM person GROUP BY lower(mail) ORDER BY 1
15 SELECT DISTINCT mail FROM person
15 SELECT DISTINCT ON (name) mail FROM person ORDER BY name, born DESC
15 SELECT mail FROM person TABLESAMPLE BERNOULLI (10) FOR UPDATE SKIP LOCKED
15 SELECT mail FROM person ORDER BY id FETCH FIRST 3 ROWS WITH TIES
15 SELECT current_date, current_user, nextval('counted'), EXTRACT(year FROM born), ctid, tableoid::regclass FROM person
15 SELECT 1 FROM person WHERE mail = 'x' AND name <> 'y' AND lower(mail) = 'z' AND pay > 3 AND mail IN ('a', 'b') AND mail = ANY ($1) AND name = mail AND born IS NULL
15 SELECT 1 FROM person WHERE pay = 3 AND mail::varchar = 'x' AND id::text = '3' AND coalesce(name, '') = 'x'
15 SELECT 1 FROM person WHERE pay::int = 4
15 SELECT 1 FROM (SELECT upper(mail) u, name m, mail = 'q' AS b FROM person) s WHERE u = 'X' AND m = 'y' AND b
15 SELECT 1 FROM person WHERE id IN (SELECT owner FROM account WHERE card = '4') AND 'x' IN (SELECT login FROM account) AND (id, mail) < (1, 'x')
15 SELECT 1 FROM person WHERE id > ALL (SELECT owner FROM account) AND mail = (SELECT login FROM account LIMIT 1)
15 SELECT 1 FROM person p WHERE p IS NOT NULL AND p.mail IS NOT NULL AND NOT (p.name = 'x' OR p.born BETWEEN '2020-01-01' AND '2021-01-01')
15 SELECT 1 / (pay - 5000), upper(mail), mail || 'x' FROM person
15 SELECT 1 FROM person LIMIT (SELECT count(*) FROM account WHERE login = 'x')
15 SELECT * FROM twice WHERE mail = 'x'
15 SELECT big, t FROM twice t ORDER BY pay
15 SELECT address FROM kept
15 SELECT * FROM measured
15 SELECT * FROM walled
15 SELECT tablename, most_common_vals FROM pg_stats
15 SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'
15 INSERT INTO person (id, mail) VALUES (1, 'a'), (2, $1) ON CONFLICT (id) DO UPDATE SET mail = EXCLUDED.mail, name = EXCLUDED.mail || person.name WHERE person.pay > 3 RETURNING id, mail || 'x'
15 INSERT INTO person (id, tags[3], home.street, home.city) VALUES (1, 'x', 'y', $1)
15 INSERT INTO notes (id) VALUES (1) RETURNING *
15 INSERT INTO notes SELECT a.id, p.mail FROM account a JOIN person p ON p.id = a.owner
15 INSERT INTO notes (id, body) SELECT id, name FROM person ON CONFLICT DO NOTHING
15 UPDATE person SET tags[1] = mail, home.city = name WHERE id = 1
15 UPDATE person SET (mail, name) = (SELECT login, card FROM account WHERE account.owner = person.id), pay = DEFAULT
15 UPDATE person SET (mail, name) = (name, mail) FROM account a WHERE a.owner = person.id RETURNING a.card
15 UPDATE checked SET mail = 'z' WHERE name = 'y' RETURNING name
15 UPDATE well_paid SET mail = mail || 'z' WHERE big LIKE 'y%'
15 UPDATE done_for SET mail = 'z' WHERE id = 3
15 DELETE FROM person USING account WHERE account.owner = person.id AND account.login = 'x' RETURNING person.mail
15 MERGE INTO person p USING account a ON p.id = a.owner WHEN MATCHED AND a.total > 3 THEN UPDATE SET mail = a.login WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id, mail) VALUES (a.id, a.card)
17 MERGE INTO person p USING account a ON p.id = a.owner WHEN NOT MATCHED BY SOURCE THEN DELETE RETURNING merge_action(), p.mail, a.total
18 UPDATE person SET mail = 'x' RETURNING old.mail, new.name, old
15 UPDATE ruled SET a = 'x' WHERE id = 3
15 DELETE FROM ruled WHERE a = 'x'
15 INSERT INTO quiet VALUES (1, 'x')
15 INSERT INTO walled VALUES (1, 'a', 'b')
15 SELECT mail_of(1), with_x(mail), opaque(mail), same(name) FROM person
15 SELECT * FROM people(3)
15 SELECT p.mail, b.b FROM people_rows() p, bigs() b
15 SELECT (people(3)).mail
15 SELECT noted(mail), guess('a%'), hides('x') FROM person
15 SELECT 1 FROM person WHERE same(name) = 'x' AND with_x(mail) = 'y' AND opaque(tags[1]) = 'z'
15 SELECT around(1), inside('x')
15 SELECT endless(id) FROM person
15 SELECT 1 FROM person WHERE mail ~= 'x'
15 SELECT set_config('a.b', mail, false), setval('counted', id) FROM person
15 SELECT
15 SELECT $1, NULL, 'x'
