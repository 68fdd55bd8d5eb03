"""Pages for people in Airflow's UI: layouts, policies, segments, models, health, cost."""
