-- The database of docker-compose.yml: made-up people, and a role that is no superuser.
CREATE ROLE shop_app LOGIN PASSWORD 'shop-app-of-the-compose-file';
-- So that the server may tell the proxy what it understands of a statement without filling its log.
GRANT SET ON PARAMETER log_min_messages TO shop_app;
CREATE DATABASE shop;
\connect shop
CREATE TABLE customers (id int PRIMARY KEY, first_name text, last_name text, email text UNIQUE, phone text, card_number text, points int);
INSERT INTO customers VALUES
    (1, 'Amelia', 'Lindqvist', 'amelia.lindqvist@postbox.example', '+44 20 7946 0101', '4849820933937094', 120),
    (2, 'Tomasz', 'Novak', 'tomasz.novak@mail.example.org', '+44 20 7946 0102', '4962063025407475', 40),
    (3, 'Selma', 'Andersen', 'selma.andersen@inbox.example.net', '+44 20 7946 0103', '4918608934241806', 990);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, status text NOT NULL, total numeric(10, 2) NOT NULL);
INSERT INTO orders SELECT n, n % 3 + 1, (ARRAY['new', 'paid', 'shipped'])[n % 3 + 1], n * 7.5 FROM generate_series(1, 60) n;
GRANT USAGE ON SCHEMA public TO shop_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO shop_app;
