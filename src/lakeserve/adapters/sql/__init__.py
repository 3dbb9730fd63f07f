"""One SQL database: the tables, their migrations, and the stores on them. The only home of SQLAlchemy and Alembic."""
