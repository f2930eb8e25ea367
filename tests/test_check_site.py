"""The check of the built site, on sites of a page or two with one mistake each."""

import check_site
import pytest

GOOD = '<link rel="stylesheet" href="a.css"><a href="sub/b.html#there">b</a><a href="https://example.org">elsewhere</a>'


@pytest.fixture
def site(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "index.html").write_text(GOOD)
    (tmp_path / "a.css").write_text("p { background: url(data:image/png;base64,AA) }")
    (tmp_path / "sub" / "b.html").write_text(
        '<h2 id="there">b</h2><a href="../index.html">a</a> <a href="#there">here</a>'
    )
    return tmp_path


def test_a_good_site_has_no_complaints(site):
    assert list(check_site.complaints(site)) == []


@pytest.mark.parametrize(
    "element",
    [
        '<script src="https://cdn.example.org/a.js"></script>',
        '<link rel="stylesheet" href="//fonts.example.org/a.css">',
        '<link rel="preconnect" href="https://fonts.example.org">',
        '<img src="http://example.org/a.png"/>',
    ],
)
def test_what_other_hosts_have_is_not_fetched(site, element):
    (site / "index.html").write_text(GOOD + element)
    (complaint,) = check_site.complaints(site)
    assert complaint.startswith("index.html: fetches ")
    assert "example.org" in complaint


@pytest.mark.parametrize("rule", ['@import "https://example.org/a.css"', "p { src: url( '//example.org/a.woff' ) }"])
def test_neither_are_styles_and_fonts(site, rule):
    (site / "a.css").write_text(rule)
    (complaint,) = check_site.complaints(site)
    assert complaint.startswith("a.css: fetches ")


@pytest.mark.parametrize(
    ("link", "why"),
    [("gone.html", "leads nowhere"), ("sub/b.html#gone", "leads to no heading"), ("#gone", "leads to no heading")],
)
def test_links_lead_somewhere(site, link, why):
    (site / "index.html").write_text(f'{GOOD}<a href="{link}">x</a>')
    (complaint,) = check_site.complaints(site)
    assert complaint.startswith(f"index.html: the link {link} {why}")


def test_an_empty_folder_is_no_site(tmp_path):
    (complaint,) = check_site.complaints(tmp_path)
    assert "make docs" in complaint


def test_the_exit_status_tells(site, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["check_site.py", str(site)])
    assert check_site.main() == 0
    (site / "index.html").write_text('<a href="gone">x</a>')
    assert check_site.main() == 1
    assert "gone" in capsys.readouterr().out
