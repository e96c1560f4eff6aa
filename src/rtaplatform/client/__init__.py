"""The platform from Python: ask, and follow live. Nothing but the standard library is used."""

from rtaplatform.client.client import Client as Client
from rtaplatform.client.problems import ApiProblem as ApiProblem
from rtaplatform.client.problems import ConnectionLost as ConnectionLost
from rtaplatform.client.questions import MetricAnswer as MetricAnswer
from rtaplatform.client.questions import Question as Question
from rtaplatform.client.questions import ResultRow as ResultRow
