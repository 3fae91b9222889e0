"""Where things are and with which credential: Prefect blocks, each with a default for a machine without any setup."""

from blocks.database import Database, DatabasePlace, load_database
from blocks.hub import HubAccount, HubCredentials, load_hub
from blocks.models import ModelFolder, ModelZoo, load_models
from blocks.network import Network, NetworkPlace, load_network
from blocks.store import Store, StorePlace, load_store

__all__ = [
    "Database",
    "DatabasePlace",
    "HubAccount",
    "HubCredentials",
    "ModelFolder",
    "ModelZoo",
    "Network",
    "NetworkPlace",
    "Store",
    "StorePlace",
    "load_database",
    "load_hub",
    "load_models",
    "load_network",
    "load_store",
]
