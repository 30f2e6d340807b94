import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.contract.units import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12h", 43200),
        ("90m", 5400),
        ("30s", 30),
        ("2d", 172800),
        ("1.5h", 5400),
        ("02:30:00", 9000),
        ("1-12:00:00", 129600),
    ],
)
def test_duration_is_read_in_each_form(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["12", 12, "h", "12 h", "0.1s", "-1h", "30:00", "1:60:00", "", None]
)
def test_duration_of_another_form_is_refused_with_the_forms(text):
    with pytest.raises(ValueError, match="is not a duration; write 12h, 90m, 30s or 1-12:00:00"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "gigabytes"), [("900G", 900), ("512M", 0.5), ("2T", 2048), ("1.5G", 1.5)]
)
def test_size_is_read_in_each_form(text, gigabytes):
    assert parse_size(text) == gigabytes


@pytest.mark.parametrize("text", ["900", 900, "900GB", "0.5M", "-1G", ""])
def test_size_of_another_form_is_refused_with_the_forms(text):
    with pytest.raises(ValueError, match="is not a size; write 900G or 512M"):
        parse_size(text)


@pytest.mark.parametrize(("seconds", "text"), [(43200, "12h"), (5400, "90m"), (61, "61s")])
def test_duration_is_written_in_its_largest_exact_unit(seconds, text):
    assert format_duration(seconds) == text


@given(st.integers(min_value=0, max_value=10**9))
def test_duration_is_read_back_as_it_was_written(seconds):
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.integers(0, 400), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_duration_of_slurms_form_counts_days_hours_minutes_and_seconds(d, h, m, s):
    assert parse_duration(f"{d}-{h:02}:{m:02}:{s:02}") == 86400 * d + 3600 * h + 60 * m + s


@given(st.integers(min_value=0, max_value=10**9))
def test_size_is_read_back_as_it_was_written(megabytes):
    gigabytes = megabytes / 1024

    assert parse_size(format_size(gigabytes)) == gigabytes
