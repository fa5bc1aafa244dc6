"""PostgreSQL: tables, migrations, one repository for each noun."""
