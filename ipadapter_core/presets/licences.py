"""The licences of published weights by repository: the publishers' own words, where they have been read."""

UNREAD = "not stated here"
LICENCES = {
    "h94/IP-Adapter": "Apache-2.0",
    "h94/IP-Adapter-FaceID": "non-commercial",
    "Kwai-Kolors/Kolors-IP-Adapter-Plus": "Kolors' own",
    "InstantX/SD3.5-Large-IP-Adapter": "Stability AI Community",
    "LuciferTC/Anima-IP-Adapter": "CircleStone, non-commercial",
    "WithAnyone/WithAnyone": "non-commercial research",
    "Tencent/InstantCharacter": "academic use only",
}


def licence(repository: str) -> str:
    """What the publisher of a repository says, or that nobody has read it for this page."""
    return LICENCES.get(repository, UNREAD)
