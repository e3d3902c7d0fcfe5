"""The small HTTP routes."""

import fastapi

router = fastapi.APIRouter()
