"""Lambda: the web console. It asks the admin API with the token of whoever is signed in, and has no right of its own."""

from mangum import Mangum
from navplane import wiring
from navplane.config import ConsoleSettings
from navplane.console.app import TEXT_TYPES, create

settings = ConsoleSettings.from_env()
app = create(wiring.console(settings))
handler = Mangum(app, lifespan="off", text_mime_types=TEXT_TYPES)
