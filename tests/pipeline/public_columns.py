"""Tables whose columns hold numbers, gaps and dates as people write them."""

import json

import numpy as np
from numpy.random import Generator

from .public_table import (
    Table,
    category,
    date,
    days,
    gaps,
    missing_texts,
    no_input,
    number,
    phrases,
    picked,
    whole,
    write_csv,
)

VARIES = "Varies with device"


def google_play_store(random: Generator) -> Table:
    """googleplaystore.csv: 19M and 201k, 10,000+, $4.99, January 7, 2018, and words in place of a size."""
    n = 600
    megabytes = random.random(n) < 0.7
    size = np.where(megabytes, random.integers(2, 99, n), random.integers(20, 999, n))
    varies = gaps(random, n, 0.12)
    sizes = whole(size * np.where(megabytes, 1_000_000, 1000), gaps=varies)
    texts = [f"{value}{'M' if big else 'k'}" for value, big in zip(size, megabytes, strict=True)]
    paid = random.random(n) < 0.1
    price = np.where(paid, np.round(random.integers(1, 20, n) - 0.01, 2), 0)
    return Table(
        {
            "App": no_input(phrases(random, n, "Photo Editor Candy Camera Maps Draw Chess Run Tap Zoo", 3)),
            "Category": category(picked(random, "ART_AND_DESIGN FAMILY GAME TOOLS MEDICAL BUSINESS", n)),
            "Reviews": whole(random.gamma(0.5, 40_000, n)),
            "Size": sizes._replace(cells=[VARIES if gap else t for gap, t in zip(varies, texts, strict=True)]),
            "Installs": whole(picked(random, [10, 100, 1000, 10_000, 500_000, 1_000_000], n), "{:,d}+"),
            "Price": number(price)._replace(cells=[f"${p:.2f}" if p else "0" for p in price]),
            "Content Rating": category(picked(random, ["Everyone", "Teen", "Mature 17+"], n)),
            "Last Updated": date(
                days(random, n, "2012-03-01", "2018-08-08"), lambda day: f"{day:%B} {day.day}, {day.year}"
            ),
            "Current Ver": no_input(
                [f"{random.integers(1, 30)}.{random.integers(0, 40)}.{i}" for i in range(n)]  # names of versions
            ),
            "Rating": number(random.beta(8, 2, n).round(2) * 4 + 1, "{:.2f}"),
        },
        "Rating",
        warned=[("'App'", "left out")],
        refused=("'Size'", f"'{VARIES}'", "data.missing"),
        advice={"missing": missing_texts(VARIES)},
    )


def marketing_campaign(random: Generator) -> Table:
    """marketing_campaign.csv: tabs, $84,835.00 with a blank behind it, 04-09-2012, and two constant columns."""
    n = 400
    return Table(
        {
            "ID": no_input(random.choice(11_000, n, replace=False)),
            "Year_Birth": whole(random.integers(1940, 1997, n)),
            "Education": category(picked(random, ["Graduation", "PhD", "Master", "2n Cycle"], n)),
            "Marital_Status": category(picked(random, "Married Together Single Divorced", n)),
            "Income": whole(random.normal(52_000, 20_000, n).clip(1800), "${:,d}.00 ", gaps=gaps(random, n, 0.01)),
            "Kidhome": whole(random.integers(0, 3, n)),
            "Dt_Customer": date(days(random, n, "2012-07-30", "2014-06-29"), "%d-%m-%Y"),
            "Recency": whole(random.integers(0, 100, n)),
            "MntWines": whole(random.gamma(0.8, 380, n)),
            "Z_CostContact": no_input([3] * n),
            "Z_Revenue": no_input([11] * n),
            "Response": category((random.random(n) < 0.15).astype(int).tolist()),
        },
        "Response",
        warned=[
            ("separator tab",),
            ("'ID'", "left out"),
            ("'Z_CostContact'", "in every row"),
            ("'Z_Revenue'", "in every row"),
        ],
        write=lambda table, folder: write_csv(table, folder, "\t"),
    )


def house_sales_of_king_county(random: Generator) -> Table:
    """kc_house_data.csv: 20141013T000000, and ids that a house has twice if it was sold twice."""
    n = 400
    names = random.choice(9_900_000_000, n, replace=False)
    names[[50, 150]] = names[[49, 20]]
    living = random.gamma(6, 350, n).round(-1)
    below = np.where(random.random(n) < 0.4, (living * 0.3).round(-1), 0)
    return Table(
        {
            "id": no_input([f"{name:010d}" for name in names]),
            "date": date(days(random, n, "2014-05-02", "2015-05-27"), "%Y%m%dT000000"),
            "bedrooms": whole(random.integers(1, 6, n)),
            "bathrooms": number(random.integers(2, 14, n) / 4),
            "sqft_living": whole(living),
            "waterfront": whole(random.random(n) < 0.03),
            "sqft_above": whole(living - below),
            "sqft_basement": whole(below),
            "zipcode": whole(98_001 + random.integers(0, 70, n)),
            "lat": number(random.uniform(47.2, 47.8, n).round(4), "{:.4f}"),
            "price": number((280 * living + random.normal(0, 90_000, n) + 90_000).clip(75_000).round(), "{:.1f}"),
        },
        "price",
        warned=[("'id'", "left out")],
    )


def online_retail(random: Generator) -> Table:
    """OnlineRetail.csv: Latin-1, 12/1/2010 8:26, negative quantities, and invoices that begin with a letter."""
    n = 500
    invoice = np.sort(random.integers(536_365, 536_420, n)).astype(str).tolist()
    for row in (60, 61, 300):
        invoice[row] = f"C{invoice[row]}"
    items = ["CAFÉ SIGN", "LUNCH BAG RED", "£1 NOTE HOLDER", "JUMBO BAG", "WHITE METAL LANTERN"]
    return Table(
        {
            "InvoiceNo": category(invoice),
            "StockCode": category(picked(random, "85123A 71053 84406B 22752 POST", n)),
            "Description": category(picked(random, items, n)),
            "Quantity": whole(random.integers(-12, 80, n)),
            "InvoiceDate": date(
                days(random, n, "2010-12-01T08:26", "2011-12-09T12:50", "m"),
                lambda time: f"{time.month}/{time.day}/{time.year} {time.hour}:{time:%M}",
            ),
            "CustomerID": whole(random.integers(12_346, 18_287, n), gaps=gaps(random, n, 0.25)),
            "Country": category(picked(random, ["United Kingdom", "France", "EIRE"], n)),
            "UnitPrice": number(random.gamma(1.3, 3, n).round(2) + 0.1, "{:.2f}"),
        },
        "UnitPrice",
        warned=[("Windows-1252",)],
        refused=("'InvoiceNo'", "data.categorical"),
        advice={"categorical": ["InvoiceNo"]},
        write=lambda table, folder: write_csv(table, folder, encoding="latin-1"),
    )


def startups(random: Generator) -> Table:
    """startup data.csv: two columns of dates none of which says whether the day or the month stands first."""
    n = 400
    founded, funded = (
        (np.datetime64(str(first)) + random.integers(0, 120, n)).astype("datetime64[M]").astype("datetime64[D]")
        + random.integers(0, 12, n)
        for first in ("2000-01", "2004-01")
    )
    return Table(
        {
            "Unnamed: 0": no_input(random.permutation(n)),
            "state_code": category(picked(random, "CA NY MA TX WA", n)),
            "latitude": number(random.uniform(25, 50, n).round(6), "{:.6f}"),
            "id": no_input([f"c:{i * 7 + 12}" for i in range(n)]),
            "founded_at": date(founded, "%m-%d-%y"),
            "first_funding_at": date(funded, "%m/%d/%Y"),
            "funding_total_usd": whole(random.gamma(1, 2e7, n), "{:,d}"),
            "status": category(picked(random, "acquired closed", n)),
        },
        "status",
        warned=[("'Unnamed: 0'", "left out"), ("'id'", "left out")],
        refused=("'founded_at'", "'first_funding_at'", "data.day_first"),
        advice={"day_first": False},
    )


def lending_club(random: Generator) -> Table:
    """LoanStats.csv: ' 36 months', 13.56%, 10+ years, n/a and Jan-2015; a column of names that is empty."""
    n = 500
    spelled = ["< 1 year", "1 year", *(f"{i} years" for i in range(2, 10)), "10+ years", "n/a"]
    return Table(
        {
            "member_id": no_input([""] * n),
            "loan_amnt": whole(random.integers(40, 1400, n) * 25),
            "term": whole(picked(random, [36, 60], n), " {:d} months"),
            "int_rate": number(random.uniform(5, 28, n).round(2), " {:.2f}%"),
            "grade": category(picked(random, "A B C D E", n)),
            "emp_length": category(picked(random, spelled, n)),
            "annual_inc": number(random.gamma(5, 15_000, n).round(), "{:.1f}"),
            "issue_d": date(days(random, n, "2007-06", "2015-12", "M"), "%b-%Y"),
            "purpose": category(picked(random, "debt_consolidation credit_card car", n)),
            "dti": number(random.uniform(0, 35, n).round(2)),
            "earliest_cr_line": date(days(random, n, "1975-01", "2010-12", "M"), "%b-%Y"),
            "revol_util": number(random.uniform(0, 100, n).round(1), "{:g}%", gaps=gaps(random, n, 0.02)),
            "loan_status": category(picked(random, ["Fully Paid", "Charged Off"], n, [0.8, 0.2])),
        },
        "loan_status",
        warned=[("'member_id'", "missing in every row", "left out")],
    )


def airbnb_listings(random: Generator) -> Table:
    """listings.csv: $1,200.00 to predict, t and f, 95% and N/A, texts with quotes, commas and line breaks, long ids."""
    n = 400
    words = "cosy, bright 'flat' near\n the \"old\" town; 2,5 km, garden, quiet,\n sunny with a view."
    amenities = [json.dumps(picked(random, "Wifi Kitchen Heating Washer TV Iron Dryer", 4)) for _ in range(n)]
    joined = [f"{text[:-1]}, {json.dumps(f'Shelf {i}')}]" for i, text in enumerate(amenities)]
    people = random.integers(1, 9, n)
    return Table(
        {
            "id": no_input(random.choice(10**17, n, replace=False)),
            "listing_url": no_input([f"https://example.org/rooms/{i * 31}" for i in range(n)]),
            "last_scraped": no_input(["2023-09-05"] * n),
            "description": no_input([f"{text}<br />Flat {i}" for i, text in enumerate(phrases(random, n, words, 12))]),
            "host_since": date(days(random, n, "2009-03-01", "2023-08-30"), "%Y-%m-%d", gaps(random, n, 0.01)),
            "host_response_rate": whole(random.integers(40, 101, n), "{:d}%", gaps=gaps(random, n, 0.2), mark="N/A"),
            "host_is_superhost": category(picked(random, "t f", n), gaps(random, n, 0.02)),
            "neighbourhood_cleansed": category(picked(random, ["Centrum-West", "Noord-Oost", "De Baarsjes"], n)),
            "room_type": category(picked(random, ["Entire home/apt", "Private room"], n)),
            "accommodates": whole(people),
            "bathrooms_text": category(picked(random, ["1 bath", "1.5 baths", "1 shared bath", "Half-bath"], n)),
            "amenities": no_input(joined),
            "calendar_updated": no_input([""] * n),
            "reviews_per_month": number(random.gamma(1, 1, n).round(2), gaps=gaps(random, n, 0.1)),
            "price": number((90 * people * random.gamma(9, 0.2, n)).round() + 40, "${:,.2f}"),
        },
        "price",
        warned=[
            ("'id'", "left out"),
            ("'listing_url'", "'description'", "'amenities'", "left out"),
            ("'last_scraped'", "left out"),
            ("'calendar_updated'", "left out"),
            ("'price'", "$"),
        ],
    )


def fifa_players(random: Generator) -> Table:
    """fifa players.csv: €110.5M, €565K and €0 in one column, 5'7, 159lbs, 88+2, Jul 1, 2004."""
    n = 450
    millions = random.random(n) < 0.5
    worth = np.where(millions, random.integers(2, 240, n) / 2, random.integers(2, 40, n) * 25)
    texts = [f"€{value:g}{'M' if big else 'K'}" for value, big in zip(worth, millions, strict=True)]
    value = number(worth * np.where(millions, 1_000_000, 1000))
    wage = random.integers(1, 500, n) * (random.random(n) > 0.02)
    feet = [f"{5 + i // 12}'{i % 12}" for i in random.integers(2, 20, n)]
    return Table(
        {
            "Unnamed: 0": no_input(range(n)),
            "Name": no_input(phrases(random, n, "L. Messi K. De Bruyne Oblak Kane", 2)),
            "Age": whole(random.integers(16, 40, n)),
            "Nationality": category(picked(random, ["Argentina", "Spain", "Korea Republic", "England"], n)),
            "Value": value._replace(cells=texts),
            "Wage": number(wage * 1000)._replace(cells=[f"€{pay}K" if pay else "€0" for pay in wage]),
            "Preferred Foot": category(picked(random, "Left Right", n)),
            "Joined": date(days(random, n, "2004-07-01", "2018-12-31"), lambda d: f"{d:%b} {d.day}, {d.year}"),
            "Height": category(feet),
            "Weight": whole(random.integers(120, 220, n), "{:d}lbs"),
            "LS": category([f"{i}+2" for i in random.integers(45, 89, n)], gaps(random, n, 0.1)),
            "Release Clause": value._replace(
                cells=[f"€{1.5 * v:g}{'M' if big else 'K'}" for v, big in zip(worth, millions, strict=True)],
                holds=value.holds * 1.5,
            ),
            "Overall": whole(random.normal(68, 7, n).clip(46, 94)),
        },
        "Overall",
        warned=[("'Unnamed: 0'", "left out"), ("'Name'", "left out")],
    )


def imdb_top_thousand(random: Generator) -> Table:
    """imdb_top_1000.csv: 142 min, 1,234,567 votes, texts, and a certificate in the place of one year."""
    n = 500
    years = random.integers(1950, 2021, n).astype(str).tolist()
    years[471] = "PG"
    titles = phrases(random, n, "The Dark Knight Rises Amélie 12 Angry Men Psycho", 3)
    return Table(
        {
            "Poster_Link": no_input([f"https://example.org/{i:x}.jpg" for i in range(n)]),
            "Series_Title": no_input(titles),
            "Released_Year": category(years),
            "Certificate": category(picked(random, "U UA A PG R", n), gaps(random, n, 0.1)),
            "Runtime": whole(random.normal(123, 28, n).clip(45), "{:d} min"),
            "Genre": category(picked(random, ["Drama", "Crime, Drama", "Action, Adventure, Sci-Fi"], n)),
            "Overview": no_input([f'He said: "{title}", and left.' for title in titles]),
            "Meta_score": whole(random.integers(28, 101, n), gaps=gaps(random, n, 0.15)),
            "No_of_Votes": whole(random.gamma(0.7, 400_000, n) + 25_000, "{:,d}"),
            "Gross": whole(random.gamma(0.6, 9e7, n) + 1305, "{:,d}", gaps=gaps(random, n, 0.17)),
            "IMDB_Rating": number(random.uniform(7.6, 9.3, n).round(2)),
        },
        "IMDB_Rating",
        warned=[("'Poster_Link'", "'Series_Title'", "'Overview'", "left out")],
        refused=("row 473", "'Released_Year'", "'PG'", "data.categorical"),
        advice={"categorical": ["Released_Year"]},
    )


TABLES = (
    google_play_store,
    marketing_campaign,
    house_sales_of_king_county,
    online_retail,
    startups,
    lending_club,
    airbnb_listings,
    fifa_players,
    imdb_top_thousand,
)
