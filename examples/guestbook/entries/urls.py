from django.urls import path

from entries import views

app_name = "entries"
urlpatterns = [
    path("", views.index, name="index"),
    path("healthz", views.healthz, name="healthz"),
    path("slow", views.slow, name="slow"),
    path("boom", views.boom, name="boom"),
]
