import sqlalchemy


def tables(url: str) -> list[str]:
    engine = sqlalchemy.create_engine(url)
    try:
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("CREATE TABLE seen (id integer)"))
        return sqlalchemy.inspect(engine).get_table_names()
    finally:
        engine.dispose()


def test_every_test_gets_an_empty_database(database_url):
    assert tables(database_url) == ["seen"]


def test_and_so_does_the_next(database_url):
    assert tables(database_url) == ["seen"]


def test_postgresql_is_a_real_server(postgresql_url):
    engine = sqlalchemy.create_engine(postgresql_url)
    with engine.connect() as connection:
        version = connection.execute(sqlalchemy.text("SHOW server_version")).scalar_one()
    engine.dispose()
    assert int(version.split(".")[0]) >= 16
